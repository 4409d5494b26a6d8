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

{{/*
What becomes of Helm's certificates: make (there are none that belong together), keep, or the next step of a renewal where
the value has changed: trust (the next authority too; its pairs wait in next.*), show (them), end (the trust in the old one).
Call with a dict: ours and theirs, the Secrets that are there, renew.
*/}}
{{- define "plimsoll.identityStep" -}}
{{- $ours := .ours.data | default dict -}}
{{- $theirs := .theirs.data | default dict -}}
{{- $authority := index $ours "ca.crt" | default "" -}}
{{- if not (and (index $ours "tls.key") (index $theirs "tls.key") (eq $authority (index $theirs "ca.crt" | default "-"))) -}}make
{{- else if eq (toString .renew) (dig "metadata" "annotations" "plimsoll.dev/renewal" "0" .ours) -}}keep
{{- else if and (index $ours "next.key") (index $theirs "next.key") -}}show
{{- else if gt (len (regexFindAll "-----BEGIN CERTIFICATE-----" ($authority | b64dec) -1)) 1 -}}end
{{- else -}}trust
{{- end -}}
{{- end }}
