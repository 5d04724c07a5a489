{{/*
Labels that every object carries. Takes a dict: root, name.
*/}}
{{- define "shop.labels" -}}
{{ include "shop.selector" . }}
app.kubernetes.io/part-of: shop
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end }}

{{/*
Labels that select the pods of one service. Takes a dict: root, name.
*/}}
{{- define "shop.selector" -}}
app.kubernetes.io/name: {{ .name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- end }}

{{/*
Deployment and Service of one service. Takes a dict: root, name, grpc (bool: it has a gRPC port too).
*/}}
{{- define "shop.service" -}}
{{- $values := index .root.Values .name -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ .name }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "shop.labels" . | nindent 4 }}
spec:
  replicas: {{ $values.replicas }}
  minReadySeconds: 0
  revisionHistoryLimit: 5
  progressDeadlineSeconds: 60
  strategy:
    type: RollingUpdate
    rollingUpdate:
      # The new pod serves before the old one leaves.
      maxUnavailable: 0
      maxSurge: 1
  selector:
    matchLabels:
      {{- include "shop.selector" . | nindent 6 }}
  template:
    metadata:
      labels:
        {{- include "shop.labels" . | nindent 8 }}
      annotations:
        prometheus.io/scrape: "true"
        prometheus.io/port: "8080"
        prometheus.io/path: /metrics
    spec:
      automountServiceAccountToken: false
      enableServiceLinks: false
      # Drain (1 s) and requests in flight (4 s) fit in.
      terminationGracePeriodSeconds: 8
      securityContext:
        runAsNonRoot: true
        runAsUser: 65532
        runAsGroup: 65532
        seccompProfile:
          type: RuntimeDefault
      containers:
        - name: {{ .name }}
          image: {{ printf "%s/%s/%s@%s" .root.Values.registry .root.Values.project .name $values.digest | quote }}
          imagePullPolicy: IfNotPresent
          securityContext:
            allowPrivilegeEscalation: false
            readOnlyRootFilesystem: true
            capabilities:
              drop: [ALL]
          ports:
            - name: http
              containerPort: 8080
            {{- if .grpc }}
            - name: grpc
              containerPort: 9090
            {{- end }}
          env:
            {{- include "shop.env" . | nindent 12 }}
          # A service starts within milliseconds, so no start-up probe holds the rollout up.
          readinessProbe:
            httpGet: {path: /readyz, port: http}
            periodSeconds: 1
            failureThreshold: 1
          livenessProbe:
            httpGet: {path: /healthz, port: http}
            periodSeconds: 5
            failureThreshold: 3
          resources:
            {{- toYaml .root.Values.resources | nindent 12 }}
---
apiVersion: v1
kind: Service
metadata:
  name: {{ .name }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "shop.labels" . | nindent 4 }}
spec:
  selector:
    {{- include "shop.selector" . | nindent 4 }}
  ports:
    - name: http
      port: 8080
      targetPort: http
      appProtocol: http
    {{- if .grpc }}
    - name: grpc
      port: 9090
      targetPort: grpc
      appProtocol: kubernetes.io/h2c
    {{- end }}
{{- end }}

{{/*
The environment of one service. Takes a dict: root, name.
*/}}
{{- define "shop.env" -}}
{{- $values := index .root.Values .name -}}
- name: POD_NAME
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
- name: POD_NAMESPACE
  valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
- name: POD_UID
  valueFrom: {fieldRef: {fieldPath: metadata.uid}}
- name: OTEL_RESOURCE_ATTRIBUTES
  value: k8s.namespace.name=$(POD_NAMESPACE),k8s.pod.name=$(POD_NAME),k8s.pod.uid=$(POD_UID),k8s.deployment.name={{ .name }}
- name: HOST_IP
  valueFrom: {fieldRef: {fieldPath: status.hostIP}}
{{- with .root.Values.otlpEndpoint }}
- name: OTEL_EXPORTER_OTLP_ENDPOINT
  value: {{ . | quote }}
{{- end }}
- name: CATALOG_ADDR
  value: catalog:9090
- name: PRICING_URL
  value: http://pricing:8080
- name: CART_URL
  value: http://cart:8080
{{- if .root.Values.faults.enabled }}
- name: FAULTS
  value: enabled
- name: FAULT_ERROR_RATE
  value: {{ .root.Values.faults.errorRate | quote }}
- name: FAULT_LATENCY
  value: {{ .root.Values.faults.latency | quote }}
{{- end }}
{{- if $values.failReady }}
- name: FAIL_READY
  value: "true"
{{- end }}
{{- if $values.crash }}
- name: CRASH
  value: "true"
{{- end }}
{{- range $name, $value := $values.env }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- end }}
