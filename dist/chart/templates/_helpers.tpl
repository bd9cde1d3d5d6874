{{- define "slipway.name" -}}
{{ default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "slipway.fullname" -}}
{{- $name := include "slipway.name" . -}}
{{- if .Values.fullnameOverride -}}
{{ .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else if contains $name .Release.Name -}}
{{ .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else -}}
{{ printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" }}
{{- end -}}
{{- end }}

{{- define "slipway.selector" -}}
app.kubernetes.io/name: {{ include "slipway.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "slipway.labels" -}}
{{ include "slipway.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "slipway.account" -}}
{{ default (ternary (include "slipway.fullname" .) "default" .Values.serviceAccount.create) .Values.serviceAccount.name }}
{{- end }}

{{/* The backends whose rights are given, as a list in JSON. */}}
{{- define "slipway.backends" -}}
{{- $own := list -}}
{{- if eq .Values.meshProvider "istio" }}{{ $own = list "istio" }}{{ end -}}
{{- if or (eq .Values.meshProvider "linkerd") (eq .Values.meshProvider "osm") (hasPrefix "smi:" .Values.meshProvider) }}{{ $own = list "linkerd" }}{{ end -}}
{{- if hasPrefix "gatewayapi:" .Values.meshProvider }}{{ $own = list "gateway" }}{{ end -}}
{{ concat $own .Values.rbac.backends | uniq | toJson }}
{{- end }}

{{/* The namespaces that are worked on; none is the whole cluster. */}}
{{- define "slipway.namespaces" -}}
{{- $all := list -}}
{{- range splitList "," .Values.namespace }}{{ if trim . }}{{ $all = append $all (trim .) }}{{ end }}{{ end -}}
{{ $all | toJson }}
{{- end }}

{{/* The rules of dist/install/controller and dist/install/backends: tests/dist compares them. */}}
{{- define "slipway.rules" -}}
- apiGroups: [flagger.app]
  resources: [canaries]
  verbs: [list, watch, patch]
- apiGroups: [flagger.app]
  resources: [canaries/status]
  verbs: [patch]
- apiGroups: [flagger.app]
  resources: [canaries/finalizers]
  verbs: [update]
- apiGroups: [flagger.app]
  resources: [metrictemplates, alertproviders]
  verbs: [list, watch]
- apiGroups: [apps]
  resources: [deployments, daemonsets]
  verbs: [get, list, watch, create, patch]
- apiGroups: [apps]
  resources: [deployments/scale]
  verbs: [patch]
- apiGroups: [apps]
  resources: [controllerrevisions]
  verbs: [list, create, delete]
- apiGroups: [""]
  resources: [services]
  verbs: [get, list, watch, create, patch, update]
- apiGroups: [""]
  resources: [configmaps, secrets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  verbs: [list, watch]
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: [get, list, watch, create, patch]
- apiGroups: [""]
  resources: [events]
  verbs: [create]
{{- $backends := include "slipway.backends" . | fromJsonArray }}
{{- if has "istio" $backends }}
- apiGroups: [networking.istio.io]
  resources: [virtualservices, destinationrules]
  verbs: [get, list, watch, create, patch, update, delete]
{{- end }}
{{- if has "linkerd" $backends }}
- apiGroups: [split.smi-spec.io]
  resources: [trafficsplits]
  verbs: [get, list, watch, create, patch, update, delete]
{{- end }}
{{- if has "gateway" $backends }}
- apiGroups: [gateway.networking.k8s.io]
  resources: [httproutes]
  verbs: [get, list, watch, create, patch, update, delete]
{{- end }}
{{- if has "keda" $backends }}
- apiGroups: [keda.sh]
  resources: [scaledobjects]
  verbs: [get, list, watch, create, patch]
{{- end }}
{{- end }}
