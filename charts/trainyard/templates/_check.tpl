{{/* What cannot be told by a schema. */}}
{{- define "trainyard.check" -}}
{{- $metrics := .Values.metrics }}
{{- if and $metrics.serviceMonitor.enabled $metrics.podMonitor.enabled }}
{{- fail "metrics.serviceMonitor and metrics.podMonitor are both enabled: every series would be there twice; choose one" }}
{{- end }}
{{- if and $metrics.serviceMonitor.enabled (not $metrics.service.create) }}
{{- fail "metrics.serviceMonitor needs metrics.service.create; or enable metrics.podMonitor instead" }}
{{- end }}
{{- if and (not $metrics.enabled) (or $metrics.serviceMonitor.enabled $metrics.podMonitor.enabled) }}
{{- fail "metrics.enabled is false, so there is nothing for a monitor to read" }}
{{- end }}
{{- if and (not $metrics.tls.secretName) (or (eq $metrics.auth "kubernetes") $metrics.tls.clientCAKey) }}
{{- fail "metrics.auth: kubernetes and metrics.tls.clientCAKey need metrics.tls.secretName: tokens do not travel in the clear" }}
{{- end }}
{{- range $name, $monitor := dict "serviceMonitor" $metrics.serviceMonitor "podMonitor" $metrics.podMonitor }}
{{- if $monitor.enabled }}
{{- $tls := $monitor.tlsConfig | default dict }}
{{- if and $metrics.tls.clientCAKey (not (and (or $tls.cert $tls.certFile) (or $tls.keySecret $tls.keyFile))) }}
{{- fail (printf "metrics.tls.clientCAKey asks readers for a certificate, and metrics.%s.tlsConfig has none to show: every reading would be refused; give cert and keySecret" $name) }}
{{- end }}
{{- if and (eq $name "podMonitor") (eq $metrics.auth "kubernetes") (not $monitor.authorization) }}
{{- fail "metrics.auth: kubernetes asks readers for a token: name its Secret in metrics.podMonitor.authorization, or enable metrics.serviceMonitor instead" }}
{{- end }}
{{- end }}
{{- end }}
{{- if eq (int $metrics.port) 8080 }}
{{- fail "metrics.port: the probes are served on 8080; choose another" }}
{{- end }}
{{- $selector := include "trainyard.selectorLabels" . | fromYaml }}
{{- range $key := concat (keys (.Values.podLabels | default dict)) (keys (.Values.commonLabels | default dict)) }}
{{- if hasKey $selector $key }}
{{- fail (printf "podLabels and commonLabels may not set %s: the Deployment knows its pods by it" $key) }}
{{- end }}
{{- end }}
{{- if and (has "Deny" .Values.admissionPolicy.actions) (has "Warn" .Values.admissionPolicy.actions) }}
{{- fail "admissionPolicy.actions: Deny and Warn exclude each other; a refusal warns by itself" }}
{{- end }}
{{- $budget := .Values.podDisruptionBudget }}
{{- if not (or (kindIs "invalid" $budget.minAvailable) (kindIs "invalid" $budget.maxUnavailable)) }}
{{- fail "podDisruptionBudget: set minAvailable or maxUnavailable, not both" }}
{{- end }}
{{- include "trainyard.checkSettings" . }}
{{- end }}

{{/* What the operator would refuse of its settings, in its words; files/spans.yaml has its bounds. */}}
{{- define "trainyard.checkSettings" -}}
{{- $settings := .Values.settings | default dict }}
{{- $seconds := dict }}
{{- range $name, $span := .Files.Get "files/spans.yaml" | fromYaml }}
{{- $given := hasKey $settings $name | ternary (get $settings $name) $span.default }}
{{- $value := include "trainyard.seconds" $given | float64 }}
{{- $_ := set $seconds $name $value }}
{{- if lt $value (float64 $span.least) }}
{{- fail (printf "settings.%s: %v is too short; at least %vs" $name $given $span.least) }}
{{- end }}
{{- if and (hasKey $span "most") (gt $value (float64 $span.most)) }}
{{- fail (printf "settings.%s: %v is too long; at most %vs" $name $given $span.most) }}
{{- end }}
{{- end }}
{{- if not (and (lt (mulf $seconds.retryPeriod 1.2) $seconds.renewDeadline) (lt $seconds.renewDeadline (subf $seconds.leaseDuration 0.5))) }}
{{- fail (printf "settings.retryPeriod (%vs), renewDeadline (%vs) and leaseDuration (%vs) leave no room; each must be clearly longer than the one before, as in 2s, 10s, 15s" $seconds.retryPeriod $seconds.renewDeadline $seconds.leaseDuration) }}
{{- end }}
{{- with $settings.topologyLevels }}
{{- if kindIs "map" . }}
{{- fail "settings.topologyLevels: Helm sorts the keys of a mapping, and their order is the levels'; write a text, widest first: rack=example.com/rack,host=kubernetes.io/hostname" }}
{{- end }}
{{- $levels := list }}
{{- $labels := list }}
{{- range compact (splitList "," (. | nospace)) }}
{{- $levels = append $levels (splitList "=" . | first) }}
{{- $labels = append $labels (splitList "=" . | last) }}
{{- end }}
{{- if or (ne (len $levels) (len (uniq $levels))) (ne (len $labels) (len (uniq $labels))) }}
{{- fail "settings.topologyLevels names a level or a label twice; each level has one label of its own" }}
{{- end }}
{{- end }}
{{- with $settings.hostPorts }}
{{- $ends := splitList "-" (. | nospace) }}
{{- if not (and (le 1024 (first $ends | int)) (le (first $ends | int) (last $ends | int)) (le (last $ends | int) 65535)) }}
{{- fail (printf "settings.hostPorts: %v is not a range of ports between 1024 and 65535; write the lower first: 20000-28999" .) }}
{{- end }}
{{- end }}
{{- end }}

{{/* Seconds of a number, or of a text such as 90, 90s, 1m30s. */}}
{{- define "trainyard.seconds" -}}
{{- if not (kindIs "string" .) }}
{{- . }}
{{- else }}
{{- $of := dict "ms" 0.001 "s" 1.0 "m" 60.0 "h" 3600.0 "d" 86400.0 }}
{{- $sum := 0.0 }}
{{- range regexFindAll "[0-9.]+[a-z]*" (. | nospace) -1 }}
{{- $sum = addf $sum (mulf (regexFind "[0-9.]+" . | float64) (get $of (regexFind "[a-z]+" . | default "s"))) }}
{{- end }}
{{- $sum }}
{{- end }}
{{- end }}
