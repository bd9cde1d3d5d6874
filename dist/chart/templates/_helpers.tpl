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

{{/* The rules of dist/install/controller and of dist/install/backends, read from there: files/ has links. */}}
{{- define "slipway.rules" -}}
{{- $rules := list -}}
{{- range splitList "\n---\n" (.Files.Get "files/slipway.yaml") -}}
{{- $object := fromYaml . -}}
{{- if eq $object.kind "ClusterRole" }}{{ $rules = $object.rules }}{{ end -}}
{{- end -}}
{{- range include "slipway.backends" . | fromJsonArray -}}
{{- $backend := $.Files.Get (printf "files/backends/%s/kustomization.yaml" .) | fromYaml -}}
{{- range fromYamlArray (first $backend.patches).patch }}{{ $rules = append $rules .value }}{{ end -}}
{{- end -}}
{{ toYaml $rules }}
{{- end }}
