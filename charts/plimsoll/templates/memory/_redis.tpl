{{/* The claim with the memory's file. */}}
{{- define "plimsoll.memoryClaim" -}}
{{- default (printf "%s-memory" (include "plimsoll.operator" .)) .Values.fleetMemory.volume.claim.existing -}}
{{- end }}
{{- define "plimsoll.memoryIsClaimed" -}}
{{- if and .Values.fleetMemory.enabled .Values.fleetMemory.volume.claim.enabled }}yes{{ end -}}
{{- end }}

{{/* Whether the operator speaks to Redis: for the memory, for the workers, or for both. */}}
{{- define "plimsoll.operatorUsesRedis" -}}
{{- if and .Values.redis.url (or .Values.worker.enabled (and .Values.fleetMemory.enabled .Values.fleetMemory.shared)) }}yes{{ end -}}
{{- end }}

{{/* The address of Redis with the files that the volumes below hold. */}}
{{- define "plimsoll.redisUrl" -}}
{{- $redis := .Values.redis -}}
{{- $files := list -}}
{{- with $redis.passwordSecret.name }}{{ $files = append $files "password_file=/etc/plimsoll/redis/password/password" }}{{ end -}}
{{- with $redis.caSecret.name }}{{ $files = append $files "ca_file=/etc/plimsoll/redis/ca/ca.crt" }}{{ end -}}
{{- with $redis.clientSecret }}{{ $files = concat $files (list "cert_file=/etc/plimsoll/redis/client/tls.crt" "key_file=/etc/plimsoll/redis/client/tls.key") }}{{ end -}}
{{- $redis.url }}{{ with $files }}{{ ternary "&" "?" (contains "?" $redis.url) }}{{ join "&" . }}{{ end -}}
{{- end }}

{{- define "plimsoll.redisMounts" -}}
{{- with .Values.redis.passwordSecret.name }}
- {name: redis-password, mountPath: /etc/plimsoll/redis/password, readOnly: true}
{{- end }}
{{- with .Values.redis.caSecret.name }}
- {name: redis-ca, mountPath: /etc/plimsoll/redis/ca, readOnly: true}
{{- end }}
{{- with .Values.redis.clientSecret }}
- {name: redis-client, mountPath: /etc/plimsoll/redis/client, readOnly: true}
{{- end }}
{{- end }}

{{- define "plimsoll.redisVolumes" -}}
{{- with .Values.redis.passwordSecret }}{{ if .name }}
- name: redis-password
  secret:
    secretName: {{ .name }}
    items: [{key: {{ .key | quote }}, path: password}]
    defaultMode: 0440
{{- end }}{{ end }}
{{- with .Values.redis.caSecret }}{{ if .name }}
- name: redis-ca
  secret:
    secretName: {{ .name }}
    items: [{key: {{ .key | quote }}, path: ca.crt}]
    defaultMode: 0440
{{- end }}{{ end }}
{{- with .Values.redis.clientSecret }}
- name: redis-client
  secret:
    secretName: {{ . }}
    items: [{key: tls.crt, path: tls.crt}, {key: tls.key, path: tls.key}]
    defaultMode: 0440
{{- end }}
{{- end }}

{{/* An egress rule of a NetworkPolicy: to Redis, and to names. */}}
{{- define "plimsoll.redisEgress" -}}
- ports:
    {{- range .Values.networkPolicy.redisPorts }}
    - {port: {{ . }}, protocol: TCP}
    {{- end }}
  {{- with .Values.networkPolicy.redisTo }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
- ports:
    - {port: 53, protocol: UDP}
    - {port: 53, protocol: TCP}
{{- end }}

{{/* What a schema cannot judge of the memory, of Redis and of the workers. */}}
{{- define "plimsoll.checkMemory" -}}
{{- $redis := .Values.redis -}}{{- $worker := .Values.worker -}}{{- $claim := .Values.fleetMemory.volume.claim -}}
{{- if regexMatch "://[^/?]*:[^/?@]*@" $redis.url -}}
  {{- fail "redis.url has a password in it, which everybody sees who may read the operator's Deployment: name a Secret in redis.passwordSecret" -}}
{{- end -}}
{{- if regexMatch "[?&](password|ca|cert|key)_file=" $redis.url -}}
  {{- fail "redis.url names a file: the chart sets password_file, ca_file, cert_file and key_file from redis.passwordSecret, redis.caSecret and redis.clientSecret" -}}
{{- end -}}
{{- if and (not $redis.url) (or $redis.passwordSecret.name $redis.caSecret.name $redis.clientSecret) -}}
  {{- fail "redis.url is empty, and a Secret of it is named: give its address" -}}
{{- end -}}
{{- if and (or $redis.caSecret.name $redis.clientSecret) (not (hasPrefix "rediss" $redis.url)) -}}
  {{- fail "redis.caSecret and redis.clientSecret are for TLS, and redis.url does not begin with rediss" -}}
{{- end -}}
{{- if and $claim.enabled .Values.fleetMemory.enabled (gt (int .Values.operator.replicas) 1) -}}
  {{- fail (printf "fleetMemory.volume.claim.enabled takes operator.replicas `1`, not `%d`: a memory's file is one process' own. Several share by redis.url" (int .Values.operator.replicas)) -}}
{{- end -}}
{{- if $worker.enabled -}}
  {{- if not $redis.url }}{{ fail "worker.enabled needs redis.url: jobs come by Redis" }}{{ end -}}
  {{- include "plimsoll.checkResources" (list "worker.resources" $worker.resources) -}}
  {{- with $worker.autoscaling }}{{ if .kind -}}
    {{- if gt (int .minReplicas) (int .maxReplicas) -}}
      {{- fail (printf "worker.autoscaling.minReplicas is `%d`: it must not exceed worker.autoscaling.maxReplicas, `%d`" (int .minReplicas) (int .maxReplicas)) -}}
    {{- end -}}
    {{- if and (eq .kind "hpa") (lt (int .minReplicas) 1) -}}
      {{- fail "worker.autoscaling.minReplicas is `0`: a HorizontalPodAutoscaler keeps one at least; kind keda keeps none" -}}
    {{- end -}}
    {{- if and (eq .kind "keda") (not (or .prometheusUrl $.Values.operator.settings.prometheusUrl)) -}}
      {{- fail "worker.autoscaling.kind is `keda`: give Prometheus' address in worker.autoscaling.prometheusUrl or operator.settings.prometheusUrl" -}}
    {{- end -}}
  {{- end }}{{ end -}}
{{- end -}}
{{- end }}
