{{/*
What a schema cannot judge, since it takes two values or arithmetic: each check fails with a sentence that names the value.
Called once, by the operator's Deployment.
*/}}
{{- define "plimsoll.checks" -}}
{{- $settings := .Values.operator.settings -}}
{{- range $name, $value := $settings }}{{ include "plimsoll.checkDuration" (list (printf "operator.settings.%s" $name) $value) }}{{ end -}}
{{- range $name := list "serviceMonitor" "podMonitor" -}}
  {{- $monitor := get $.Values.monitoring $name -}}
  {{- include "plimsoll.checkDuration" (list (printf "monitoring.%s.interval" $name) $monitor.interval) -}}
  {{- include "plimsoll.checkDuration" (list (printf "monitoring.%s.scrapeTimeout" $name) $monitor.scrapeTimeout) -}}
  {{- if $monitor.scrapeTimeout }}{{ if gt (include "plimsoll.seconds" $monitor.scrapeTimeout | float64) (include "plimsoll.seconds" $monitor.interval | float64) -}}
    {{- fail (printf "monitoring.%s.scrapeTimeout is `%s`: it must not be longer than the interval, `%s`" $name $monitor.scrapeTimeout $monitor.interval) -}}
  {{- end }}{{ end -}}
{{- end -}}
{{- if and (eq (default "" $settings.usageSource) "prometheus") (not $settings.prometheusUrl) -}}
  {{- fail "operator.settings.usageSource is `prometheus`: give its address in operator.settings.prometheusUrl" -}}
{{- end -}}
{{- with $settings }}{{ if and .leaseRenew .leaseDuration -}}
  {{- if ge (include "plimsoll.seconds" .leaseRenew | float64) (include "plimsoll.seconds" .leaseDuration | float64) -}}
    {{- fail (printf "operator.settings.leaseRenew is `%s`: it must be shorter than operator.settings.leaseDuration, `%s`, or nobody would lead" .leaseRenew .leaseDuration) -}}
  {{- end -}}
{{- end }}{{ end -}}
{{- range $name, $account := dict "operator" .Values.operator.serviceAccount "agent" .Values.agent.serviceAccount "worker" .Values.worker.serviceAccount "placement.sweeper" .Values.placement.sweeper.serviceAccount -}}
  {{- if not (or $account.create $account.name) -}}
    {{- fail (printf "%s.serviceAccount.create is false: name the account that is there in %s.serviceAccount.name" $name $name) -}}
  {{- end -}}
{{- end -}}
{{- if and $settings.nodeProxy (ne (default "" $settings.usageSource) "kubelet") -}}
  {{- fail "operator.settings.nodeProxy is true and operator.settings.usageSource is not `kubelet`: nothing would go through the proxy" -}}
{{- end -}}
{{- if and .Values.agent.namespace (not .Values.agent.enabled) .Values.coordination.enabled -}}
  {{- fail "agent.namespace is set and agent.enabled is false: coordination.enabled would put the agents' certificate into a namespace that nobody makes" -}}
{{- end -}}
{{- if hasKey .Values.agent.act "debugfs" -}}
  {{- fail (printf "agent.act.debugfs is `%v`: there is no such value any more; agent.act.lruGen stands in its place, and mounts the one file lru_gen instead of all of debugfs" .Values.agent.act.debugfs) -}}
{{- end -}}
{{- if and (eq .Values.agent.act.policiesFrom "operator") (not .Values.coordination.enabled) -}}
  {{- fail "agent.act.policiesFrom is `operator`: it tells them by its stream, which coordination.enabled opens" -}}
{{- end -}}
{{- $ports := dict (toString .Values.operator.metricsPort) "operator.metricsPort" -}}
{{- if and .Values.webhook.enabled (eq (toString .Values.operator.metricsPort) "443") -}}
  {{- fail "operator.metricsPort is `443`: that is the webhook's port of the Service" -}}
{{- end -}}
{{- range $name := list "webhook" "coordination" }}{{ $part := get $.Values $name }}{{ if $part.enabled -}}
  {{- $port := toString $part.port -}}
  {{- with get $ports $port -}}
    {{- fail (printf "%s.port and %s are both `%s`: they are ports of the same pod" $name . $port) -}}
  {{- end -}}
  {{- $_ := set $ports $port (printf "%s.port" $name) -}}
{{- end }}{{ end -}}
{{- range $name := list "operator" "agent" "worker" }}{{ $part := get $.Values $name -}}
  {{- if and (eq (default "" $part.dnsPolicy) "None") (not (default dict $part.dnsConfig).nameservers) -}}
    {{- fail (printf "%s.dnsPolicy is `None`: name servers in %s.dnsConfig.nameservers" $name $name) -}}
  {{- end -}}
{{- end -}}
{{- range $name, $url := dict "operator.settings.prometheusUrl" $settings.prometheusUrl "worker.autoscaling.prometheusUrl" .Values.worker.autoscaling.prometheusUrl -}}
  {{- if regexMatch "^https?://[^/]*@" (default "" $url) -}}
    {{- fail (printf "%s has a user in it: everybody sees it who may read the object it goes to; give the operator a token by operator.settings.prometheusTokenFile" $name) -}}
  {{- end -}}
{{- end -}}
{{- with .Values.agent.updateStrategy.rollingUpdate -}}
  {{- if and (has (toString .maxUnavailable) (list "0" "0%")) (has (toString (default 0 .maxSurge)) (list "0" "0%")) -}}
    {{- fail "agent.updateStrategy.rollingUpdate.maxUnavailable and maxSurge are both nothing: no agent would ever be replaced" -}}
  {{- end -}}
  {{- if not (or (has (toString .maxUnavailable) (list "0" "0%")) (has (toString (default 0 .maxSurge)) (list "0" "0%"))) -}}
    {{- fail (printf "agent.updateStrategy.rollingUpdate.maxUnavailable is `%v` and maxSurge `%v`: Kubernetes wants one of them to be 0" .maxUnavailable .maxSurge) -}}
  {{- end -}}
{{- end -}}
{{- if and .Values.placement.gates.enabled (not .Values.webhook.enabled) -}}
  {{- fail "placement.gates.enabled is true and webhook.enabled is false: it is the webhook that holds a pod" -}}
{{- end -}}
{{- include "plimsoll.checkResources" (list "placement.sweeper.resources" .Values.placement.sweeper.resources) -}}
{{- include "plimsoll.checkResources" (list "operator.resources" .Values.operator.resources) -}}
{{- include "plimsoll.checkResources" (list "agent.resources" .Values.agent.resources) -}}
{{- include "plimsoll.checkMemory" . -}}
{{- include "plimsoll.checkIgnored" . -}}
{{- include "plimsoll.checkAlone" . -}}
{{- end }}

{{/*
Two releases on a cluster would both lead, each in a namespace of its own, and both write every profile. ClusterRoles tell, since an
uninstallation takes them, and CRDs not, which stay. Who makes none may not be allowed to list them; `helm template` looks nothing up.
*/}}
{{- define "plimsoll.checkAlone" -}}
{{- $root := . -}}
{{- if .Values.rbac.create }}{{ range $role := (lookup "rbac.authorization.k8s.io/v1" "ClusterRole" "" "").items -}}
  {{- $owner := dig "metadata" "annotations" dict $role -}}
  {{- $name := get $owner "meta.helm.sh/release-name" -}}{{- $namespace := get $owner "meta.helm.sh/release-namespace" -}}
  {{- $ours := and (eq $name $root.Release.Name) (eq $namespace $root.Release.Namespace) -}}
  {{- if and $name (not $ours) (eq (dig "metadata" "labels" "app.kubernetes.io/part-of" "" $role) "plimsoll") -}}
    {{- fail (printf "release `%s` in namespace `%s` is on this cluster already (it has ClusterRole `%s`): two would both change the same pods; uninstall that one first" $name $namespace $role.metadata.name) -}}
  {{- end -}}
{{- end }}{{ end -}}
{{- end }}

{{/* A duration of the schema in seconds. */}}
{{- define "plimsoll.seconds" -}}
{{- mulf (regexFind "^[0-9.]+" . | float64) (get (dict "ms" 0.001 "s" 1.0 "m" 60.0 "h" 3600.0) (regexFind "[a-z]+$" .)) -}}
{{- end }}

{{/* Call with (list name value); what is no duration is another's. */}}
{{- define "plimsoll.checkDuration" -}}
{{- $name := index . 0 -}}{{- $value := index . 1 -}}
{{- if and (kindIs "string" $value) (regexMatch "^[0.]+(ms|s|m|h)$" $value) -}}
  {{- fail (printf "%s is `%s`: it must be longer than nothing" $name $value) -}}
{{- end -}}
{{- end }}

{{/* Call with (list name resources). */}}
{{- define "plimsoll.checkResources" -}}
{{- $name := index . 0 -}}{{- $resources := default dict (index . 1) -}}
{{- range $part, $amounts := $resources }}{{ range $resource, $value := $amounts -}}
  {{- $path := printf "%s.%s.%s" $name $part $resource -}}
  {{- if and (kindIs "string" $value) (not (regexMatch "^([0-9]+(\\.[0-9]*)?|\\.[0-9]+)([KMGTPE]i|[mkMGTPE]|[eE][0-9]+)?$" $value)) -}}
    {{- fail (printf "%s is `%s`: it is no quantity; write for example 100m or 256Mi" $path $value) -}}
  {{- end -}}
  {{- $amount := include "plimsoll.amount" $value | float64 -}}
  {{- if le $amount 0.0 -}}
    {{- fail (printf "%s is `%v`: it must be more than nothing" $path $value) -}}
  {{- else if and (eq $resource "memory") (lt $amount 1048576.0) -}}
    {{- fail (printf "%s is `%v`: that is less than 1Mi; memory is counted in bytes, and m is a thousandth" $path $value) -}}
  {{- end -}}
  {{- $limit := get (default dict $resources.limits) $resource -}}
  {{- if and (eq $part "requests") $limit }}{{ if gt $amount (include "plimsoll.amount" $limit | float64) -}}
    {{- fail (printf "%s is `%v`: it must not exceed %s.limits.%s, `%v`" $path $value $name $resource $limit) -}}
  {{- end }}{{ end -}}
{{- end }}{{ end -}}
{{- end }}

{{/* A quantity as a number. */}}
{{- define "plimsoll.amount" -}}
{{- if kindIs "string" . -}}
  {{- $factors := dict "m" 0.001 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "P" 1e15 "E" 1e18 "Ki" 1024.0 "Mi" 1048576.0 "Gi" 1073741824.0 "Ti" 1099511627776.0 "Pi" 1125899906842624.0 "Ei" 1152921504606846976.0 -}}
  {{- mulf (regexFind "^[0-9.]+([eE][0-9]+)?" . | float64) (get $factors (regexFind "[KMGTPEmk]i?$" .) | default 1.0) -}}
{{- else -}}{{ float64 . }}{{- end -}}
{{- end }}
