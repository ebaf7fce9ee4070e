{{/* The container's environment. Takes root, scope (the identity scope) and bundle (whether there is a CA bundle). */}}
{{- define "sft-operator.environment" -}}
{{- $values := .root.Values -}}
- name: SFT_IDENTITY_SCOPE
  value: {{ .scope | quote }}
- name: SFT_LEASE_NAME
  value: {{ include "sft-operator.name" .root | quote }}
- name: SFT_REQUIRE_PROFILE
  value: {{ $values.requireProfile | quote }}
- name: SFT_PAUSE_LAUNCHES
  value: {{ $values.pauseLaunches | quote }}
{{- with $values.watchNamespaces }}
- name: SFT_NAMESPACES
  value: {{ join "," . | quote }}
{{- end }}
{{- if $values.config }}
- name: SFT_CONFIG
  value: /etc/sft-operator/config.yaml
{{- end }}
{{- with $values.region }}
- name: AWS_REGION
  value: {{ . | quote }}
{{- end }}
{{- if .bundle }}
- name: AWS_CA_BUNDLE
  value: {{ printf "/etc/sft-operator-ca/%s" $values.caBundle.key | quote }}
{{- end }}
{{- with $values.proxy.https }}
- name: HTTPS_PROXY
  value: {{ . | quote }}
{{- end }}
{{- with $values.proxy.http }}
- name: HTTP_PROXY
  value: {{ . | quote }}
{{- end }}
{{- if or $values.proxy.https $values.proxy.http }}
{{- /* the API server, the metadata service, the EKS Pod Identity agent */}}
- name: NO_PROXY
  value: {{ printf "$(KUBERNETES_SERVICE_HOST),localhost,127.0.0.1,169.254.169.254,169.254.170.23,.svc,.cluster.local,%s" $values.proxy.noProxy | trimSuffix "," | quote }}
{{- end }}
{{- with $values.env }}
{{ toYaml . }}
{{- end }}
{{- end -}}
