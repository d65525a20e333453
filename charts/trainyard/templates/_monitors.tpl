{{/* One endpoint of a monitor. Arguments: root, monitor (its values). */}}
{{- define "trainyard.endpoint" -}}
{{- $metrics := .root.Values.metrics }}
port: metrics
path: /metrics
# The namespace and pod that a series tells of are the training job's.
honorLabels: true
{{- with .monitor.interval }}
interval: {{ . }}
{{- end }}
{{- with .monitor.scrapeTimeout }}
scrapeTimeout: {{ . }}
{{- end }}
{{- if $metrics.tls.secretName }}
scheme: https
tlsConfig:
  {{- toYaml (.monitor.tlsConfig | default (dict "insecureSkipVerify" true)) | nindent 2 }}
{{- end }}
{{- with .monitor.authorization }}
authorization:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .monitor.relabelings }}
relabelings:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .monitor.metricRelabelings }}
metricRelabelings:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
