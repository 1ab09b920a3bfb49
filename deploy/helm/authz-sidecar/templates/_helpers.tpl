{{/* Labels of what belongs together: a dictionary of `root` and the part's `name`. */}}
{{- define "labels" -}}
app.kubernetes.io/name: {{ .name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/part-of: authz-sidecar
{{- end }}

{{/* Those by which it is found, and which never change. */}}
{{- define "selector" -}}
app.kubernetes.io/name: {{ .name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- end }}

{{- define "image" -}}
image: {{ printf "%s:%s" .image.repository (.image.tag | default .root.Chart.AppVersion) | quote }}
imagePullPolicy: {{ .image.pullPolicy }}
{{- end }}

{{/* Of each pod. */}}
{{- define "pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: {{ .Values.userId }}
  runAsGroup: {{ .Values.userId }}
  fsGroup: {{ .Values.userId }}
  seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "spread" -}}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {{- include "selector" . | nindent 8 }}
{{- end }}

{{/* Of each container. */}}
{{- define "unprivileged" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end }}

{{- define "tmp" -}}
- name: {{ . }}
  mountPath: /tmp
{{- end }}

{{- define "tmpVolume" -}}
- name: {{ .name }}
  emptyDir: {medium: Memory, sizeLimit: {{ .root.Values.tmpSize }}}
{{- end }}

{{/* A mapping as environment variables. */}}
{{- define "env" -}}
{{- range $name, $value := . }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- end }}

{{/* One variable from a Secret: a dictionary of `name`, `secret` and, where it differs, `key`. */}}
{{- define "secretEnv" -}}
- name: {{ .name }}
  valueFrom: {secretKeyRef: {name: {{ .secret }}, key: {{ .key | default .name }}}}
{{- end }}

{{/* The Secret with the authorities that a part believes; empty: those of its image. */}}
{{- define "caSecret" -}}
{{- .root.Values.tls.caSecret | default (ternary (printf "%s-tls" .name) "" (ne .root.Values.tls.issuer.name "")) -}}
{{- end }}

{{- define "caEnv" -}}
{{- if include "caSecret" . }}
- name: SSL_CERT_FILE
  value: /etc/authorities/ca.crt
{{- end }}
{{- end }}

{{- define "caMount" -}}
{{- if include "caSecret" . }}
- {name: authorities, mountPath: /etc/authorities, readOnly: true}
{{- end }}
{{- end }}

{{- define "caVolume" -}}
{{- with include "caSecret" . }}
- name: authorities
  secret: {secretName: {{ . }}, items: [{key: ca.crt, path: ca.crt}]}
{{- end }}
{{- end }}

{{/* AUTHZ_AMQP_URL of the `user` sidecar or relay, which the operator has made. */}}
{{- define "operatorAmqpUrl" -}}
{{- $secret := printf "%s-%s-user-credentials" .root.Values.rabbitmq.name .user }}
{{ include "secretEnv" (dict "name" "RABBITMQ_USERNAME" "secret" $secret "key" "username") }}
{{ include "secretEnv" (dict "name" "RABBITMQ_PASSWORD" "secret" $secret "key" "password") }}
- name: AUTHZ_AMQP_URL
  value: amqps://$(RABBITMQ_USERNAME):$(RABBITMQ_PASSWORD)@{{ .root.Values.rabbitmq.name }}:5671/authz
{{- end }}
