{{/* The name of everything. */}}
{{- define "web.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "web.labels" }}
app.kubernetes.io/name: {{ include "web.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "web.surges" -}}
{{- if eq .Values.strategy "surge" -}}
true
{{- end -}}
{{- end -}}

{{- define "web.extra" -}}
limits:
  enabled: false
  size: 3
{{- end -}}

{{- define "web.empty" -}}
{{- if .Values.nothing }}
text: never
{{- end }}
{{- end -}}

{{- define "web.pod" -}}
{{- if not (include "web.empty" . | trim) }}
restartPolicy: Always
{{- end }}
securityContext:
  {{- toYaml .Values.podSecurity | nindent 2 }}
containers:
  - name: {{ include "web.name" . }}
    image: web
    securityContext:
      privileged: {{ .Values.privileged }}
{{- end -}}
