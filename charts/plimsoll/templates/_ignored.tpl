{{/*
Values that would be heeded by nobody, since another value keeps what they are of from being made or asked: each is refused
with a sentence that names it. What only says how a pod looks (image, resources, where it runs, its security context) may
stand there while the pod is not made, so that one file of values can be for several clusters. Called by plimsoll.checks.
*/}}
{{- define "plimsoll.checkIgnored" -}}
{{- $agent := .Values.agent -}}
{{- if not $agent.enabled -}}
  {{- include "plimsoll.ignored" (list . "does nothing without agent.enabled" (dict "agent.act.enabled" false)) -}}
{{- end -}}
{{- if not $agent.act.enabled -}}
  {{- include "plimsoll.ignored" (list . "does nothing without agent.act.enabled" (dict "agent.act.mm" true "agent.act.lruGen" false "agent.act.compact" true "agent.act.stateDir" "/run/plimsoll" "agent.act.policiesFrom" "cluster" "agent.act.nodeResourceTopology" false)) -}}
{{- end -}}
{{- if eq $agent.seccomp.type "RuntimeDefault" -}}
  {{- include "plimsoll.ignored" (list . "is of a profile of our own, and agent.seccomp.type is `RuntimeDefault`" (dict "agent.seccomp.localhostProfile" `plimsoll/agent-{{ include "plimsoll.seccompHash" . }}.json` "agent.seccomp.kubeletRootDir" "/var/lib/kubelet")) -}}
{{- else if not $agent.seccomp.install -}}
  {{- include "plimsoll.ignored" (list . "says where the profile is put, and agent.seccomp.install is false" (dict "agent.seccomp.kubeletRootDir" "/var/lib/kubelet")) -}}
{{- end -}}
{{- if eq $agent.updateStrategy.type "OnDelete" -}}
  {{- include "plimsoll.ignored" (list . "does nothing while agent.updateStrategy.type is `OnDelete`" (dict "agent.updateStrategy.rollingUpdate" (dict "maxUnavailable" "10%"))) -}}
{{- end -}}
{{- range $name, $account := dict "operator" .Values.operator.serviceAccount "agent" $agent.serviceAccount "worker" .Values.worker.serviceAccount "placement.sweeper" .Values.placement.sweeper.serviceAccount }}{{ if not $account.create -}}
  {{- $annotations := dict (printf "%s.serviceAccount.annotations" $name) (dict) -}}
  {{- if eq $name "operator" }}{{ $_ := set $annotations "operator.serviceAccountAnnotations" (dict) }}{{ end -}}
  {{- include "plimsoll.ignored" (list $ (printf "is for an account that the chart makes, and %s.serviceAccount.create is false" $name) $annotations) -}}
{{- end }}{{ end -}}
{{- include "plimsoll.ignoredSettings" . -}}
{{- include "plimsoll.ignoredOfCertificates" . -}}
{{- include "plimsoll.ignoredOfMemory" . -}}
{{- include "plimsoll.ignoredOfMonitoring" . -}}
{{- if not .Values.placement.gates.enabled -}}
  {{- include "plimsoll.ignored" (list . "does nothing without placement.gates.enabled" (dict "placement.sweeper.healthPort" 8082)) -}}
{{- end -}}
{{- if .Values.priorityClasses.create -}}
  {{- include "plimsoll.ignored" (list . "is a class that exists, and priorityClasses.create makes others" (dict "priorityClasses.operatorName" "" "priorityClasses.agentName" "")) -}}
{{- else -}}
  {{- include "plimsoll.ignored" (list . "does nothing without priorityClasses.create" (dict "priorityClasses.operatorValue" 1000000 "priorityClasses.agentValue" 1000001)) -}}
{{- end -}}
{{- if not .Values.rbac.create -}}
  {{- include "plimsoll.ignored" (list . "does nothing without rbac.create" (dict "rbac.ownerKinds" list)) -}}
{{- end -}}
{{- if not .Values.networkPolicy.enabled -}}
  {{- include "plimsoll.ignored" (list . "narrows nothing without networkPolicy.enabled" (dict "networkPolicy.metricsFrom" list "networkPolicy.operatorEgress" list "networkPolicy.redisTo" list)) -}}
{{- else if not (or .Values.worker.enabled (and .Values.networkPolicy.operatorEgress (include "plimsoll.operatorUsesRedis" .))) -}}
  {{- include "plimsoll.ignored" (list . "narrows nothing: there are no workers, and no operator with operatorEgress that asks Redis" (dict "networkPolicy.redisTo" list)) -}}
{{- end -}}
{{- end }}

{{/* Of the operator's settings. */}}
{{- define "plimsoll.ignoredSettings" -}}
{{- $settings := .Values.operator.settings -}}
{{- if not $settings.prometheusUrl -}}
  {{- include "plimsoll.ignored" (list . "does nothing without operator.settings.prometheusUrl" (dict "operator.settings.prometheusTokenFile" "" "operator.settings.prometheusCaFile" "")) -}}
{{- else if not (hasPrefix "https:" $settings.prometheusUrl) -}}
  {{- include "plimsoll.ignored" (list . "is for TLS, and operator.settings.prometheusUrl does not begin with https" (dict "operator.settings.prometheusCaFile" "")) -}}
{{- end -}}
{{- $direct := dict "operator.settings.kubeletPort" 10250 "operator.settings.kubeletCaFile" "" "operator.settings.kubeletInsecure" false -}}
{{- if ne (default "" $settings.usageSource) "kubelet" -}}
  {{- include "plimsoll.ignored" (list . "does nothing while operator.settings.usageSource is not `kubelet`" (set $direct "operator.settings.kubeletConcurrency" 32)) -}}
{{- else if $settings.nodeProxy -}}
  {{- include "plimsoll.ignored" (list . "does nothing with operator.settings.nodeProxy: it is the API server that asks the kubelets" $direct) -}}
{{- else if $settings.kubeletInsecure -}}
  {{- include "plimsoll.ignored" (list . "verifies nothing with operator.settings.kubeletInsecure" (dict "operator.settings.kubeletCaFile" "")) -}}
{{- end -}}
{{- if not .Values.coordination.enabled -}}
  {{- include "plimsoll.ignored" (list . "does nothing without coordination.enabled" (dict "operator.settings.modelsLeastNodes" 3)) -}}
{{- end -}}
{{- end }}

{{/* Of the certificates: each source has values of its own. */}}
{{- define "plimsoll.ignoredOfCertificates" -}}
{{- $webhook := dict "of" "webhook" "kind" "Issuer" "helm" (dict "validDays" 3650) "secret" (dict "secretName" "" "caBundle" "") -}}
{{- $coordination := dict "of" "coordination" "kind" "ClusterIssuer" "helm" (dict "validDays" 3650 "renew" 0) "secret" (dict "operatorSecretName" "" "agentSecretName" "" "agentName" "") -}}
{{- range $one := list $webhook $coordination -}}
  {{- $path := printf "%s.certificate" $one.of -}}
  {{- $certificate := (get $.Values $one.of).certificate -}}
  {{- range $source := list "helm" "secret" "cert-manager" }}{{ if ne $source $certificate.source -}}
    {{- $defaults := dict -}}
    {{- range $name, $default := default dict (get $one $source) }}{{ $_ := set $defaults (printf "%s.%s" $path $name) $default }}{{ end -}}
    {{- if eq $source "cert-manager" -}}
      {{- $defaults = dict (printf "%s.issuerRef.name" $path) "" (printf "%s.issuerRef.kind" $path) $one.kind -}}
    {{- end -}}
    {{- include "plimsoll.ignored" (list $ (printf "is for %s.source `%s`, which is `%s`" $path $source $certificate.source) $defaults) -}}
  {{- end }}{{ end -}}
{{- end -}}
{{- $certificate := .Values.webhook.certificate -}}
{{- if and (eq $certificate.source "cert-manager") (not $certificate.issuerRef.name) -}}
  {{- include "plimsoll.ignored" (list . "wants a name in webhook.certificate.issuerRef.name, without which the chart makes an Issuer" (dict "webhook.certificate.issuerRef.kind" "Issuer")) -}}
{{- end -}}
{{- if not .Values.coordination.enabled -}}
  {{- /* Not certificate.renew: it counts on while the streams are switched off. */ -}}
  {{- include "plimsoll.ignored" (list . "does nothing without coordination.enabled" (dict "coordination.port" 8444 "coordination.streamsPerSecond" 100 "coordination.streamsPerSecondOfAddress" 5 "coordination.certificate.source" "helm" "coordination.certificate.validDays" 3650)) -}}
{{- end -}}
{{- end }}

{{/* Of the fleet's memory, of Redis and of the workers. */}}
{{- define "plimsoll.ignoredOfMemory" -}}
{{- $memory := .Values.fleetMemory -}}{{- $redis := .Values.redis -}}{{- $worker := .Values.worker -}}
{{- $made := dict "fleetMemory.volume.claim.storageClass" "" "fleetMemory.volume.claim.keep" true -}}
{{- $claim := $memory.volume.claim -}}
{{- if not $memory.enabled -}}
  {{- include "plimsoll.ignored" (list . "does nothing without fleetMemory.enabled" (merge (dict "fleetMemory.ownWeights" false "fleetMemory.volume.size" "1Gi" "fleetMemory.volume.claim.enabled" false "fleetMemory.volume.claim.existing" "") $made)) -}}
{{- else if not $claim.enabled -}}
  {{- include "plimsoll.ignored" (list . "does nothing without fleetMemory.volume.claim.enabled" (merge (dict "fleetMemory.volume.claim.existing" "") $made)) -}}
{{- else if $claim.existing -}}
  {{- include "plimsoll.ignored" (list . "is for a claim that the chart makes, and fleetMemory.volume.claim.existing names one" (merge (dict "fleetMemory.volume.size" "1Gi") $made)) -}}
{{- end -}}
{{- if and (not $worker.enabled) (eq (toString .Values.operator.settings.forecastWorkers) "0") -}}
  {{- include "plimsoll.ignored" (list . "does nothing without worker.enabled while operator.settings.forecastWorkers is `0`" (dict "fleetMemory.ownWeights" false)) -}}
{{- end -}}
{{- range $secret, $key := dict "passwordSecret" "password" "caSecret" "ca.crt" }}{{ if not (get $redis $secret).name -}}
  {{- include "plimsoll.ignored" (list $ (printf "does nothing without redis.%s.name" $secret) (dict (printf "redis.%s.key" $secret) $key)) -}}
{{- end }}{{ end -}}
{{- if and $redis.url (not $worker.enabled) (not (include "plimsoll.operatorUsesRedis" .)) -}}
  {{- fail "redis.url is set and nobody asks Redis: it takes worker.enabled, or fleetMemory.enabled with fleetMemory.shared" -}}
{{- end -}}
{{- $scaling := dict "worker.autoscaling.minReplicas" 1 "worker.autoscaling.maxReplicas" 5 "worker.autoscaling.fitsPerReplica" 20 "worker.autoscaling.prometheusUrl" "" -}}
{{- if not $worker.enabled -}}
  {{- include "plimsoll.ignored" (list . "does nothing without worker.enabled" (merge (dict "worker.replicas" 1 "worker.autoscaling.kind" "" "worker.metricsPort" 8081 "worker.extraArgs" list) $scaling)) -}}
{{- else if not $worker.autoscaling.kind -}}
  {{- include "plimsoll.ignored" (list . "does nothing without worker.autoscaling.kind" $scaling) -}}
{{- else -}}
  {{- include "plimsoll.ignored" (list . "does nothing with worker.autoscaling.kind: give minReplicas and maxReplicas" (dict "worker.replicas" 1)) -}}
  {{- if eq $worker.autoscaling.kind "hpa" -}}
    {{- include "plimsoll.ignored" (list . "is asked by KEDA alone, and worker.autoscaling.kind is `hpa`" (dict "worker.autoscaling.prometheusUrl" "")) -}}
  {{- end -}}
{{- end -}}
{{- end }}

{{/* Of what Prometheus and Grafana pick up. */}}
{{- define "plimsoll.ignoredOfMonitoring" -}}
{{- $monitoring := .Values.monitoring -}}
{{- $monitor := dict "interval" "30s" "scrapeTimeout" "" "relabelings" list "metricRelabelings" list -}}
{{- $rule := dict "oomKillsPerHour" 5 "certificateDays" 14 "webhookSilentHours" 6 -}}
{{- range $name, $own := dict "serviceMonitor" $monitor "podMonitor" $monitor "prometheusRule" $rule "dashboard" (dict "label" "grafana_dashboard" "namespace" "") }}{{ if not (get $monitoring $name).enabled -}}
  {{- $defaults := dict -}}
  {{- range $value, $default := $own }}{{ $_ := set $defaults (printf "monitoring.%s.%s" $name $value) $default }}{{ end -}}
  {{- include "plimsoll.ignored" (list $ (printf "does nothing without monitoring.%s.enabled" $name) $defaults) -}}
{{- end }}{{ end -}}
{{- if not .Values.webhook.enabled -}}
  {{- include "plimsoll.ignored" (list . "alerts of a webhook, and webhook.enabled is false" (dict "monitoring.prometheusRule.certificateDays" 14 "monitoring.prometheusRule.webhookSilentHours" 6)) -}}
{{- end -}}
{{- if and $monitoring.podMonitor.enabled (not (or .Values.agent.enabled .Values.worker.enabled)) -}}
  {{- fail "monitoring.podMonitor.enabled is true, and there are neither agents (agent.enabled) nor workers (worker.enabled)" -}}
{{- end -}}
{{- if not (or $monitoring.serviceMonitor.enabled $monitoring.podMonitor.enabled $monitoring.prometheusRule.enabled) -}}
  {{- include "plimsoll.ignored" (list . "is on monitors and alerts alone, of which none is enabled" (dict "monitoring.labels" (dict))) -}}
{{- end -}}
{{- end }}

{{/*
Refuse values that are not the default. Call with (list root, what each does instead of what was meant, dict of path and
default): a value that is null or not there is the default.
*/}}
{{- define "plimsoll.ignored" -}}
{{- $root := index . 0 -}}{{- $why := index . 1 -}}
{{- range $path, $default := index . 2 -}}
  {{- $value := $root.Values -}}
  {{- range splitList "." $path }}{{ $value = get (default dict $value) . }}{{ end -}}
  {{- $said := toJson $value -}}
  {{- if not (has $said (list "null" `""` (toJson $default))) -}}
    {{- $plain := and (not (or (kindIs "map" $value) (kindIs "slice" $value))) (le (len $said) 80) -}}
    {{- fail (printf "%s is %s: it %s" $path (ternary (printf "`%s`" (trimAll "\"" $said)) "set" $plain) $why) -}}
  {{- end -}}
{{- end -}}
{{- end }}
