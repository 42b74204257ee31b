with notes as (
    select * from {{ ref("admission_notes") }}
),

claims as (
    select
        encounter_id,
        status_time,
        lower(trim(status)) in {{ lower_list(var("denial_claim_statuses")) }} as is_denial,
        {% if var("unknown_claim_statuses") == "negative" -%}
        true as is_known
        {%- elif var("unknown_claim_statuses") == "drop" -%}
        lower(trim(status)) in {{ lower_list(var("denial_claim_statuses") + var("known_negative_claim_statuses")) }}
        as is_known
        {%- else -%}
        {{ wrong_choice("unknown_claim_statuses", ["negative", "drop"]) }}
        {%- endif %}
    from {{ ref("stg_claims") }}
),

decided as (
    select
        encounter_id,
        max(case when is_denial then 1 else 0 end) as label,
        min(status_time) as decided_time
    from claims
    where is_known
    group by encounter_id
),

labelled as (
    select
        notes.*,
        {{ study_window("insurance_denial", "notes.discharge_time") }} as study_window,
        decided.label,
        decided.decided_time,
        decided.label is not null as has_label
    from notes
    left join decided on notes.encounter_id = decided.encounter_id
),

in_window as (
    select
        *,
        study_window is not null as is_in_study_window
    from labelled
)

select
    note_id,
    encounter_id,
    subject_id,
    written_time as prediction_time,
    decided_time as outcome_time,
    cast(null as timestamp) as follow_up_end,
    study_window,
    label,
    {{ left_at_step("insurance_denial") }} as left_at_step
from in_window
