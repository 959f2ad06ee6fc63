{{- define "rq-broker.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" }}{{ end }}
{{- end }}

{{/* What chooses the pods of a component: a list of the root and the component's name. */}}
{{- define "rq-broker.selector" -}}
app.kubernetes.io/name: {{ (index . 0).Chart.Name }}
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{- define "rq-broker.labels" -}}
{{ include "rq-broker.selector" . }}
app.kubernetes.io/version: {{ (index . 0).Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ (index . 0).Release.Service }}
{{- end }}

{{- define "rq-broker.redisSecret" -}}
{{- if .Values.redis.existingSecret }}{{ .Values.redis.existingSecret }}
{{- else }}{{ include "rq-broker.name" . }}-redis{{ end }}
{{- end }}

{{/* What the pods of both components have: a list of the root and the component's name. */}}
{{- define "rq-broker.pod" -}}
{{- $root := index . 0 -}}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with $root.Values.imagePullSecrets }}
imagePullSecrets: {{ toJson . }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile: {type: RuntimeDefault}
nodeSelector: {{ toJson $root.Values.nodeSelector }}
tolerations: {{ toJson $root.Values.tolerations }}
affinity: {{ toJson $root.Values.affinity }}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {{- include "rq-broker.selector" . | nindent 8 }}
volumes:
  - name: redis
    secret:
      secretName: {{ include "rq-broker.redisSecret" $root }}
      items: [{key: redis-url, path: redis-url}]
{{- end }}

{{/* What the containers of both components have: likewise. */}}
{{- define "rq-broker.container" -}}
{{- $root := index . 0 -}}
{{- $values := index $root.Values (index . 1) -}}
name: {{ index . 1 }}
image: "{{ $root.Values.image.repository }}:{{ $root.Values.image.tag | default $root.Chart.AppVersion }}"
imagePullPolicy: {{ $root.Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
volumeMounts:
  - {name: redis, mountPath: /etc/rq-broker, readOnly: true}
resources: {{ toJson $values.resources }}
env:
  - {name: PYTHONDONTWRITEBYTECODE, value: "1"}
{{- range $name, $value := mergeOverwrite (dict) $root.Values.options $values.options }}
  - name: {{ $name }}
    value: {{ $value | toString | quote }}
{{- end }}
{{- end }}
