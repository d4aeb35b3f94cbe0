//! The page for people and the program must not disagree.

use portway_doctor::Culprit;

const PAGE: &str = include_str!("../../../docs/data-connection-fails.md");

#[test]
fn the_page_says_of_each_culprit_what_doctor_says() {
    let rows: Vec<&str> = PAGE.lines().filter(|line| line.contains("| `")).collect();
    let want: Vec<String> = Culprit::ALL
        .iter()
        .map(|c| format!("| {} | `{}` | {} |", c.symptom(), c.word(), c.remedy()))
        .collect();
    assert_eq!(
        rows,
        want,
        "docs/data-connection-fails.md: this is the table as it should be\n{}",
        want.join("\n")
    );
}
