{{- define "sft-operator.name" -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "sft-operator.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (include "sft-operator.name" .) -}}
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
