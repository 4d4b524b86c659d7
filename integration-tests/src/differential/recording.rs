//! Kafka's answers on disk: one file per API, one answer per line, equal answers of consecutive versions written once.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

/// Scenario name and version to the answers of the compared steps.
pub type Answers = BTreeMap<(String, i16), Vec<Value>>;

/// Where the recordings lie.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/oracle")
}

fn file_of(folder: &Path, api: &str) -> PathBuf {
    folder.join(format!("{api}.json"))
}

/// Writes the answers of one API.
pub fn write(folder: &Path, api: &str, answers: &Answers) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    fs::write(file_of(folder, api), to_text(answers))
}

/// Reads the answers of one API; none if it was never recorded.
pub fn read(folder: &Path, api: &str) -> io::Result<Answers> {
    match fs::read_to_string(file_of(folder, api)) {
        Ok(text) => from_text(&text).map_err(io::Error::other),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Answers::new()),
        Err(error) => Err(error),
    }
}

/// Runs of consecutive versions of one scenario with equal answers.
fn runs(answers: &Answers) -> Vec<(&str, i16, i16, &[Value])> {
    let mut runs: Vec<(&str, i16, i16, &[Value])> = Vec::new();
    for ((name, version), answer) in answers {
        match runs.last_mut() {
            Some((last_name, _, last, same))
                if last_name == name && *last + 1 == *version && *same == answer =>
            {
                *last = *version;
            }
            _ => runs.push((name, *version, *version, answer)),
        }
    }
    runs
}

fn to_text(answers: &Answers) -> String {
    let mut text = String::from("[\n");
    let runs = runs(answers);
    for (position, (name, first, last, same)) in runs.iter().enumerate() {
        text.push_str(&format!(
            "{{\"scenario\": {}, \"versions\": [{first}, {last}], \"answers\": [",
            json!(name)
        ));
        let lines: Vec<String> = same.iter().map(|answer| format!("\n  {answer}")).collect();
        text.push_str(&lines.join(","));
        text.push_str(if position + 1 == runs.len() {
            "]}\n"
        } else {
            "]},\n"
        });
    }
    text.push_str("]\n");
    text
}

fn from_text(text: &str) -> Result<Answers, String> {
    let entries: Vec<Value> = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let mut answers = Answers::new();
    for entry in &entries {
        let version = |at: usize| {
            entry["versions"][at]
                .as_i64()
                .and_then(|version| i16::try_from(version).ok())
        };
        let (Some(name), Some(first), Some(last), Some(same)) = (
            entry["scenario"].as_str(),
            version(0),
            version(1),
            entry["answers"].as_array(),
        ) else {
            return Err(format!("not a recording: {entry}"));
        };
        answers.extend((first..=last).map(|version| ((name.to_owned(), version), same.clone())));
    }
    Ok(answers)
}

/// Every place where two values differ: path, then what each has there.
pub fn differences(expected: &Value, actual: &Value) -> Vec<String> {
    let mut found = Vec::new();
    walk("", expected, actual, &mut found);
    found
}

fn walk(path: &str, expected: &Value, actual: &Value, found: &mut Vec<String>) {
    match (expected, actual) {
        (Value::Object(left), Value::Object(right)) => {
            let names: std::collections::BTreeSet<&String> = left.keys().chain(right.keys()).collect();
            for name in names {
                let absent = json!("(absent)");
                let (left, right) = (
                    left.get(name).unwrap_or(&absent),
                    right.get(name).unwrap_or(&absent),
                );
                walk(&format!("{path}/{name}"), left, right, found);
            }
        }
        (Value::Array(left), Value::Array(right)) if left.len() == right.len() => {
            for (index, (left, right)) in left.iter().zip(right).enumerate() {
                walk(&format!("{path}/{index}"), left, right, found);
            }
        }
        _ if expected == actual => {}
        _ => found.push(format!("{path}: Kafka {expected}, Cauce {actual}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_answers_of_neighbouring_versions_are_written_once_and_read_back_at_each() {
        let mut answers = Answers::new();
        for version in 3..=5 {
            answers.insert(
                ("a case".to_owned(), version),
                vec![json!({"E": 0}), json!("closed")],
            );
        }
        answers.insert(("a case".to_owned(), 6), vec![json!({"E": 1})]);
        answers.insert(("a case".to_owned(), 9), vec![json!({"E": 1})]);
        let text = to_text(&answers);
        assert_eq!(text.matches("scenario").count(), 3);
        assert_eq!(from_text(&text), Ok(answers));
    }

    #[test]
    fn a_difference_is_named_by_its_path() {
        let found = differences(
            &json!({"A": [{"E": 0, "x": 1}]}),
            &json!({"A": [{"E": 3, "x": 1}]}),
        );
        assert_eq!(found, ["/A/0/E: Kafka 0, Cauce 3"]);
        assert_eq!(differences(&json!([1]), &json!([1, 2])).len(), 1);
    }
}
