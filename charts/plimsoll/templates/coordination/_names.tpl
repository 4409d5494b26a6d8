{{/* Secrets with the certificates of the agents' streams. */}}
{{- define "plimsoll.operatorIdentity" -}}
{{- if eq .Values.coordination.certificate.source "secret" -}}
{{- required "coordination.certificate.source is `secret`: name the operator's in coordination.certificate.operatorSecretName" .Values.coordination.certificate.operatorSecretName -}}
{{- else -}}{{ include "plimsoll.operator" . }}-agents{{- end -}}
{{- end }}
{{- define "plimsoll.agentIdentity" -}}
{{- if eq .Values.coordination.certificate.source "secret" -}}
{{- required "coordination.certificate.source is `secret`: name the agents' in coordination.certificate.agentSecretName" .Values.coordination.certificate.agentSecretName -}}
{{- else -}}{{ include "plimsoll.agent" . }}-identity{{- end -}}
{{- end }}
