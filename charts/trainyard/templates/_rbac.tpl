{{/*
What the operator may do, and nothing more: no Secrets, no exec, no evictions, no roles, no writes to nodes or volumes.
The tests compare these with what it really asks for.
*/}}

{{/* In the namespaces whose jobs it serves. */}}
{{- define "trainyard.rules.jobs" -}}
# Jobs are read; deleted only when their time to live after the end is over. The spec is never written.
- apiGroups: [trainyard.dev]
  resources: [trainingjobs]
  verbs: [get, list, watch, delete]
- apiGroups: [trainyard.dev]
  resources: [trainingjobs/status]
  verbs: [patch]
# The gang's pods; its records and host lists.
- apiGroups: [""]
  resources: [pods, configmaps]
  verbs: [get, list, watch, create, delete]
# Names for the ranks, and the checkpoint claim: they go with their job by owner reference, or stay.
- apiGroups: [""]
  resources: [services, persistentvolumeclaims]
  verbs: [get, list, watch, create]
# Whether a gang fits into its namespace.
- apiGroups: [""]
  resources: [resourcequotas]
  verbs: [list, watch]
# What happened to a job, as `kubectl describe` shows it.
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end }}

{{/* Of the cluster: what placing a gang looks at. */}}
{{- define "trainyard.rules.cluster" -}}
- apiGroups: [""]
  resources: [nodes, namespaces, persistentvolumes]
  verbs: [list, watch]
- apiGroups: [scheduling.k8s.io]
  resources: [priorityclasses]
  verbs: [list, watch]
- apiGroups: [storage.k8s.io]
  resources: [storageclasses]
  verbs: [list, watch]
{{- end }}

{{/* Whose token a reader of metrics shows, and what its owner may do. */}}
{{- define "trainyard.rules.reviews" -}}
- apiGroups: [authentication.k8s.io]
  resources: [tokenreviews]
  verbs: [create]
- apiGroups: [authorization.k8s.io]
  resources: [subjectaccessreviews]
  verbs: [create]
{{- end }}

{{/* Binds a role of the operator's name to its service account. Arguments: root, kind, namespace of the binding or "". */}}
{{- define "trainyard.binding" -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ .kind }}Binding
metadata:
  name: {{ .name | default (include "trainyard.operator" .root) }}
  {{- with .namespace }}
  namespace: {{ . }}
  {{- end }}
  {{- include "trainyard.meta" (dict "root" .root) | nindent 2 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: {{ .kind }}
  name: {{ .name | default (include "trainyard.operator" .root) }}
subjects:
  - kind: ServiceAccount
    name: {{ include "trainyard.serviceAccount" .root }}
    namespace: {{ .root.Release.Namespace }}
{{- end }}
