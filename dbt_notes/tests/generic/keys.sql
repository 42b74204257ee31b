{% test unique_combination(model, columns) %}
select {{ columns | join(", ") }}
from {{ model }}
group by {{ columns | join(", ") }}
having count(*) > 1
{% endtest %}


{% test between_values(model, column_name, minimum, maximum) %}
select {{ column_name }}
from {{ model }}
where not coalesce({{ column_name }} between {{ minimum }} and {{ maximum }}, false)
{% endtest %}
