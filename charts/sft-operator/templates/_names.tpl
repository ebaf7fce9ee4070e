{{- define "sft-operator.name" -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "sft-operator.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "sft-operator.name" .) -}}
{{- else -}}
{{- required "serviceAccount.name is required with serviceAccount.create=false: the ServiceAccount that the operator runs as" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* ClusterRoles have no namespace: two releases of one name must not share one. */}}
{{- define "sft-operator.clusterName" -}}
{{- printf "%s-%s" .Release.Namespace (include "sft-operator.name" .) -}}
{{- end -}}

{{- define "sft-operator.selector" -}}
app.kubernetes.io/name: sft-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "sft-operator.labels" -}}
{{ include "sft-operator.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "sft-operator.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Who the operator's rules are bound to. */}}
{{- define "sft-operator.subjects" -}}
- kind: ServiceAccount
  name: {{ include "sft-operator.serviceAccount" . }}
  namespace: {{ .Release.Namespace }}
{{- end -}}
