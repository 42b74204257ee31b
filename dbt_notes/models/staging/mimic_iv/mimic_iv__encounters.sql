with admissions as (
    select * from {{ ref("mimic_iv__raw_admissions") }}
),

last_services as (
    select
        hadm_id,
        curr_service,
        row_number() over (partition by hadm_id order by transfertime desc, landed_row) as service_rank
    from {{ ref("mimic_iv__services") }}
    where reject_reason is null
),

joined as (
    select
        admissions.*,
        last_services.curr_service
    from admissions
    left join last_services
        on
            admissions.hadm_id = last_services.hadm_id
            and last_services.service_rank = 1
)

select
    hadm_id as encounter_id,
    subject_id,
    case
        when upper(trim(admission_type)) in ('AMBULATORY OBSERVATION', 'DIRECT OBSERVATION', 'EU OBSERVATION')
            then 'observation'
        else 'inpatient'
    end as encounter_class,
    admittime as admit_time,
    dischtime as discharge_time,
    curr_service as department,
    admission_type,
    case when trim(hospital_expire_flag) = '1' then 'Expired' else discharge_location end as discharge_disposition,
    {{ carried("admissions", "hadm_id") }}
from joined
