{#- Every row that came in went out or was rejected. -#}
{% test rows_balance(model) %}
select
    table_name,
    rows_in,
    rows_out,
    rows_rejected
from {{ model }}
where rows_in <> rows_out + rows_rejected
{% endtest %}


{#- The last step of each task's attrition is its cohort. -#}
{% test ends_at_cohort(model, counts) %}
with cohorts as (
    select
        task,
        sum(num_notes) as num_notes
    from {{ counts }}
    group by task
),

last_steps as (
    select
        task,
        min(num_notes_left) as num_notes_left
    from {{ model }}
    group by task
)

select
    last_steps.task,
    last_steps.num_notes_left,
    cohorts.num_notes
from last_steps
left join cohorts on last_steps.task = cohorts.task
where last_steps.num_notes_left <> coalesce(cohorts.num_notes, 0)
{% endtest %}
