"""Tables that Dagster's page shows as they are."""

from lang1_assets.materialization import inline_table, markdown_table


def test_a_table_keeps_its_columns_in_order_and_its_numbers_short() -> None:
    table = inline_table(
        ["task", "notes", "AUROC"], [["Readmission | 30 days", 12_345, 0.712345], ["Mortality", 7, "-"]]
    )
    assert [column.name for column in table.schema.columns] == ["task", "notes", "AUROC"]
    assert [list(record.data.values()) for record in table.records] == [
        ["Readmission | 30 days", "12,345", "0.712"],
        ["Mortality", "7", "-"],
    ]


def test_a_bar_in_markdown_ends_no_cell() -> None:
    assert markdown_table(["task"], [["a | b"]]).md_str.endswith("| a \\| b |")
