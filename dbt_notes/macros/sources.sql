{#-
  For the kind of source that is read: the source tables whose rows become rows of each contract table, one for one, and
  the `lookups` that only add columns to them, each with its key.
-#}
{%- macro source_parts() -%}
{%- set parts = {
    "tables": {
        "patients": ["patients"],
        "encounters": ["encounters"],
        "notes": ["notes"],
        "diagnoses": ["diagnoses"],
        "claims": ["claims"],
    },
    "mimic_iii": {
        "patients": ["patients"],
        "encounters": ["admissions"],
        "notes": ["noteevents"],
        "diagnoses": ["diagnoses_icd"],
        "lookups": {"services": ["hadm_id", "transfertime", "curr_service"]},
    },
    "mimic_iv": {
        "patients": ["patients"],
        "encounters": ["admissions"],
        "notes": ["discharge", "radiology"],
        "diagnoses": ["diagnoses_icd"],
        "lookups": {"services": ["hadm_id", "transfertime", "curr_service"]},
    },
    "omop": {
        "patients": ["person"],
        "encounters": ["visit_occurrence"],
        "notes": ["note"],
        "diagnoses": ["condition_occurrence"],
        "lookups": {
            "death": ["person_id"],
            "observation_period": ["observation_period_id"],
            "concept": ["concept_id"],
            "care_site": ["care_site_id"],
            "location": ["location_id"],
        },
    },
    "fhir": {
        "patients": ["fhir_patients"],
        "encounters": ["fhir_encounters"],
        "notes": ["fhir_notes"],
        "diagnoses": ["fhir_conditions"],
        "claims": ["fhir_claims"],
    },
}[var("source_kind")] -%}
{%- if var("claims_kind") == "x12_835" -%}
    {%- do parts.update({"claims": ["remittances"]}) -%}
{%- endif -%}
{{ return(parts) }}
{%- endmacro -%}


{%- macro contract_tables() -%}
{{ return(["patients", "encounters", "notes", "diagnoses", "claims"]) }}
{%- endmacro -%}


{#- The model that has a contract table's columns as text; none when the source cannot supply the table. -#}
{%- macro source_model(contract_table) -%}
{%- if not source_parts().get(contract_table) -%}
    {{ return(none) }}
{%- endif -%}
{%- set is_remittance = contract_table == "claims" and var("claims_kind") == "x12_835" -%}
{{ return(("x12_835" if is_remittance else var("source_kind")) ~ "__" ~ contract_table) }}
{%- endmacro -%}


{%- macro raw_model(source_table) -%}
{{ return(("x12_835" if source_table == "remittances" else var("source_kind")) ~ "__raw_" ~ source_table) }}
{%- endmacro -%}


{#- What every row carries from its source to its judgement, the last columns of each KIND__TABLE model. -#}
{%- macro carried(source_table, row_name, source_reason="cast(null as varchar)", alias=none) -%}
{%- set prefix = alias ~ "." if alias else "" -%}
'{{ source_table }}' as source_table,
    {{ prefix }}landed_row,
    {{ prefix }}row_hash,
    {{ prefix }}malformed_at,
    {{ landed_reason(source_reason, prefix) }} as source_reason,
    case when {{ prefix }}is_forgotten then null else {{ row_name }} end as row_name
{%- endmacro -%}


{#- The same for rows that were flattened before they came here: they know their file and line, and may have a reason. -#}
{%- macro carried_with_line(source_table, source_reason="reject_reason") -%}
'{{ source_table }}' as source_table,
    landed_row,
    row_hash,
    case when reject_reason = 'malformed_line' then source_line end as malformed_at,
    {{ landed_reason(source_reason) }} as source_reason,
    source_line as row_name
{%- endmacro -%}


{#-
  The rows of a lookup table with what is wrong with each: copies of a key after the first good row are of no use. A date
  that is none is the lookup's own fault: the people and stays it belongs to are kept without it.
-#}
{%- macro checked_lookup(source_table, dates=[]) -%}
{%- set key_columns = source_parts().get("lookups", {}).get(source_table, []) -%}
with judged as (
    select
        *,
        case
            when malformed_at is not null then 'malformed_line'
            when is_forgotten then 'forgotten'
            when {% for column in key_columns %}{{ column }} is null{{ " or " if not loop.last }}{% endfor %} then 'missing_value'
            {%- for column in dates %}
            when {{ is_impossible_date(column) }} then 'impossible_date'
            {%- endfor %}
        end as row_reason
    from {{ ref(raw_model(source_table)) }}
),

ranked as (
    select
        *,
        row_number() over (
            partition by {{ key_columns | join(", ") }}, row_reason is null order by landed_row
        ) as key_rank
    from judged
)

select
    *,
    coalesce(malformed_at, {{ key_columns | join(" || '/' || ") }}) as row_name,
    {{ reject_reason() }} as reject_reason
from ranked
{%- endmacro -%}


{#- The kind of note that LOINC codes (joined by '|') or, without a known one, a title says. -#}
{%- macro note_type_of(codes, title) -%}
{%- set joined = "'|' || " ~ codes ~ " || '|'" -%}
case
        when {{ matches(joined, "[|](34117-2|51848-0|34763-3|28636-9|47039-3|64054-4|34774-0)[|]") }} then 'hp'
        when {{ matches(joined, "[|](18842-5|11490-0|28655-9|34105-7|34106-5|34745-0)[|]") }} then 'discharge'
        when {{ matches(joined, "[|](18748-4|68604-8|18726-0|18747-6|18755-9|24627-2|30746-2)[|]") }} then 'radiology'
        when {{ matches(joined, "[|](11526-1|60567-5|60568-3|22637-3|33717-0)[|]") }} then 'pathology'
        when {{ matches(joined, "[|](11506-3|28570-0|34108-1|34130-5|51847-2|28651-8|34109-9)[|]") }} then 'progress'
        when {{ matches(title, "history (and|&) physical|\\bh ?& ?p\\b|admission (note|history)") }} then 'hp'
        when {{ matches(title, "discharge (summary|note)") }} then 'discharge'
        when {{ matches(title, "radiolog|imaging|x-?ray|ultrasound|\\bct\\b|\\bmri\\b") }} then 'radiology'
        when {{ matches(title, "patholog|cytolog|biopsy") }} then 'pathology'
        when {{ matches(title, "progress|nurs|consult|evaluation") }} then 'progress'
        else 'other'
    end
{%- endmacro -%}


{#- What an insurer decided, in the words of the contract: a denial with a later approval was overturned. -#}
{%- macro claim_status(is_denied, encounter_id, status_time) -%}
case
        when {{ is_denied }} = 'false' then 'paid'
        when {{ is_denied }} is null then 'pending'
        when
            max(case when {{ is_denied }} = 'false' then {{ status_time }} end) over (partition by {{ encounter_id }})
            > {{ status_time }}
            then 'final, favorable determination'
        else 'final, adverse determination'
    end
{%- endmacro -%}


{#- The source's own value where it is in words, else the concept's name: a code (`1`, `W`) says nothing to whoever reads a table. -#}
{%- macro said_in_words(source_value, concept_name) -%}
case
        when {{ matches(source_value, "[a-z]{3}") }} then {{ source_value }}
        else coalesce({{ concept_name }}, {{ source_value }})
    end
{%- endmacro -%}
