{{/* A job of two workers that need a CPU, a name and a network, and no more than the restricted level allows. */}}
{{- define "trainyard.testJob" -}}
apiVersion: trainyard.dev/v1alpha1
kind: TrainingJob
metadata:
  # The test puts six characters behind it, and the names of its pods must stay within 63.
  name: {{ include "trainyard.fullname" . | trunc 28 | trimSuffix "-" }}-test
  namespace: {{ include "trainyard.testNamespace" . }}
spec:
  framework: custom
  activeDeadlineSeconds: {{ .Values.tests.timeoutSeconds | int }}
  ttlSecondsAfterFinished: 600
  roles:
    - name: worker
      replicas: 2
      template:
        spec:
          {{- with include "trainyard.testPlace" . | trim }}
          {{- . | nindent 10 }}
          {{- end }}
          securityContext:
            runAsNonRoot: true
            runAsUser: 65532
            seccompProfile: {type: RuntimeDefault}
          containers:
            - name: trainer
              image: {{ include "trainyard.image" . }}
              imagePullPolicy: {{ .Values.image.pullPolicy }}
              command: [python3, -c, {{ .Files.Get "files/smoke_worker.py" | toJson }}]
              resources:
                requests: {cpu: 50m, memory: 32Mi}
                limits: {memory: 128Mi}
              securityContext:
                allowPrivilegeEscalation: false
                capabilities: {drop: [ALL]}
{{- end }}

{{/* What lets the pods of such a job onto nodes, and their image in. */}}
{{- define "trainyard.testPlace" -}}
{{- $place := dict "imagePullSecrets" .Values.imagePullSecrets "nodeSelector" .Values.tests.nodeSelector "tolerations" .Values.tests.tolerations }}
{{- range $key, $value := $place }}
{{- with $value }}
{{ $key }}:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- end }}
