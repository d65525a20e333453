"""The only room that talks to the API server: credentials, client, informers, server time, Lease election.

It moves JSON and says plainly what went wrong; it knows no jobs and decides nothing about them.
"""
