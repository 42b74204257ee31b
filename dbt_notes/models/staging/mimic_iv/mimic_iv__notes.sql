with discharge as (
    select
        *,
        -- AD are addenda to a summary, not the summary.
        case when coalesce(note_type, 'DS') = 'DS' then 'discharge' else 'other' end as contract_note_type
    from {{ ref("mimic_iv__raw_discharge") }}
),

radiology as (
    select
        *,
        'radiology' as contract_note_type
    from {{ ref("mimic_iv__raw_radiology") }}
)

{% for name in ["discharge", "radiology"] %}
select
    note_id,
    hadm_id as encounter_id,
    subject_id,
    contract_note_type as note_type,
    cast(null as {{ text_type() }}) as department,
    cast(null as {{ text_type() }}) as author_id,
    charttime as written_time,
    cast(null as {{ text_type() }}) as preference,
    text as narrative,
    cast(null as {{ text_type() }}) as impression,
    cast(null as {{ text_type() }}) as addendum,
    {{ carried(name, "note_id") }}
from {{ name }}
{{ "union all" if not loop.last }}
{% endfor %}
