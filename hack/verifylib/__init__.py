"""The checks behind hack/verify: each takes the tree and answers with what is wrong, nothing meaning all is well."""
