{#- A cohort may be empty only where the source lacks what its task needs. -#}
{% test has_rows(model, task) %}
select task
from {{ ref("task_inputs") }}
where
    task = '{{ task }}'
    and is_supplied
    and not exists (select 1 from {{ model }})
{% endtest %}


{#- The labels below `num_classes` that a split lacks: neither AUROC nor a fair comparison exists for those. -#}
{% test every_class_in_each_split(model, num_classes) %}
with splits as (
    select distinct split
    from {{ model }}
),

classes as (
    {%- for label in range(num_classes) %}
    select {{ label }} as label
    {{ "union all" if not loop.last }}
    {%- endfor %}
)

select
    splits.split,
    classes.label
from splits
cross join classes
left join {{ model }} as cohort
    on splits.split = cohort.split
    and classes.label = cohort.label
where cohort.note_id is null
{% endtest %}


{#- No patient in two of train, val and test; asked only when patients are what is split. -#}
{% test no_patient_in_two_parts(model) %}
select subject_id
from {{ model }}
where split in ('train', 'val', 'test') and '{{ var("split_by") }}' = 'patient'
group by subject_id
having count(distinct split) > 1
{% endtest %}
