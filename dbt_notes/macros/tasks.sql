{#- The five ReMedE tasks, each with a `candidates_TASK` and a `cohort_TASK` model. -#}
{%- macro tasks() -%}
{{ return(["readmission", "mortality", "length_of_stay", "comorbidity", "insurance_denial"]) }}
{%- endmacro -%}
