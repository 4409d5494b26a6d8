{{/* Prefix of names: the release's name, with the chart's where it is not in it already. */}}
{{- define "plimsoll.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end }}

{{- define "plimsoll.operator" -}}{{ include "plimsoll.fullname" . }}-operator{{- end }}
{{- define "plimsoll.agent" -}}{{ include "plimsoll.fullname" . }}-agent{{- end }}
{{- define "plimsoll.worker" -}}{{ include "plimsoll.fullname" . }}-worker{{- end }}
{{- define "plimsoll.sweeper" -}}{{ include "plimsoll.fullname" . }}-sweeper{{- end }}
{{- define "plimsoll.agentNamespace" -}}{{ default .Release.Namespace .Values.agent.namespace }}{{- end }}

{{/* What a selector selects by; never changes over upgrades. Call with (list . "operator"). */}}
{{- define "plimsoll.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ default $root.Chart.Name $root.Values.nameOverride }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{/* Labels of an object. Call with (list . "operator"). */}}
{{- define "plimsoll.labels" -}}
{{- $root := index . 0 -}}
{{ include "plimsoll.selector" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
app.kubernetes.io/part-of: plimsoll
helm.sh/chart: {{ $root.Chart.Name }}-{{ $root.Chart.Version | replace "+" "_" }}
{{- with $root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Labels of a pod. Call with (list . "operator"). */}}
{{- define "plimsoll.podLabels" -}}
{{- $root := index . 0 -}}
{{ include "plimsoll.labels" . }}
{{- range $key, $value := $root.Values.podLabels }}
{{- if hasKey (default dict $root.Values.commonLabels) $key }}
{{- fail (printf "podLabels and commonLabels both have `%s`: name it once" $key) }}
{{- end }}
{{ $key }}: {{ $value | quote }}
{{- end }}
{{- end }}

{{/* Names of the service accounts. */}}
{{- define "plimsoll.operatorAccount" -}}{{ default (include "plimsoll.operator" .) .Values.operator.serviceAccount.name }}{{- end }}
{{- define "plimsoll.agentAccount" -}}{{ default (include "plimsoll.agent" .) .Values.agent.serviceAccount.name }}{{- end }}
{{- define "plimsoll.workerAccount" -}}{{ default (include "plimsoll.worker" .) .Values.worker.serviceAccount.name }}{{- end }}
{{- define "plimsoll.sweeperAccount" -}}{{ default (include "plimsoll.sweeper" .) .Values.placement.sweeper.serviceAccount.name }}{{- end }}

{{/* Name of an image. Call with (list . .Values.operator.image). */}}
{{- define "plimsoll.image" -}}
{{- $root := index . 0 -}}{{- $image := index . 1 -}}
{{- with $image.registry }}{{ . }}/{{ end -}}
{{- $image.repository -}}
{{- if $image.digest }}@{{ $image.digest }}{{ else }}:{{ default $root.Chart.AppVersion $image.tag }}{{ end -}}
{{- end }}

{{/* A pod's parts that every component has. */}}
{{- define "plimsoll.pullSecrets" -}}
{{- with concat (default list .Values.imagePullSecrets) (default list (default dict .Values.global).imagePullSecrets) | uniq }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* How a pod looks names up. Call with the component's values. */}}
{{- define "plimsoll.dns" -}}
{{- with .dnsPolicy }}
dnsPolicy: {{ . | quote }}
{{- end }}
{{- with .dnsConfig }}
dnsConfig:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* A container's security context at Pod Security level restricted. */}}
{{- define "plimsoll.restricted" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/*
A class's value cannot be changed, so it is in the name: another value is another class. What else behaves otherwise is named too.
*/}}
{{- define "plimsoll.operatorPriorityClass" -}}
{{- with .Values.priorityClasses }}{{ if .create }}{{ include "plimsoll.operator" $ }}-{{ int64 .operatorValue }}{{ else }}{{ .operatorName }}{{ end }}{{ end -}}
{{- end }}
{{- define "plimsoll.agentPriorityClass" -}}
{{- with .Values.priorityClasses }}{{ if .create }}{{ include "plimsoll.agent" $ }}-nonpreempting-{{ int64 .agentValue }}{{ else }}{{ .agentName }}{{ end }}{{ end -}}
{{- end }}

{{/* The agent's seccomp profile in files/, and a short hash of it: profiles of other contents have other names on a node. */}}
{{- define "plimsoll.seccompFile" -}}{{ ternary "files/agent-act-seccomp.json" "files/agent-seccomp.json" .Values.agent.act.enabled }}{{- end }}
{{- define "plimsoll.seccompHash" -}}{{ .Files.Get (include "plimsoll.seccompFile" .) | sha256sum | trunc 10 }}{{- end }}

{{/* Secret with the webhook's certificate. */}}
{{- define "plimsoll.webhookSecret" -}}
{{- if eq .Values.webhook.certificate.source "secret" -}}
{{- required "webhook.certificate.source is `secret`: name it in webhook.certificate.secretName" .Values.webhook.certificate.secretName -}}
{{- else -}}{{ include "plimsoll.operator" . }}-webhook{{- end -}}
{{- end }}

{{/* A number or a text of values.yaml as the operator reads it (Helm holds every number as a float). */}}
{{- define "plimsoll.setting" -}}
{{- if kindIs "float64" . }}{{ int64 . }}{{ else }}{{ . }}{{ end -}}
{{- end }}
