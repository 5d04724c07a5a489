{{ define "words.pod" }}
hostPID: {{ .Values.global.hostPID }}
containers: []
{{ end }}
