//! What can be seen from the sources alone.

/// Rows that belong to an organisation and are asked for by it.
const OF_A_TENANT: &[&str] = &[
    "projects",
    "members",
    "ledger",
    "usage",
    "rollups",
    "days",
    "labels",
    "label_names",
    "audit",
    "responses",
    "webhooks",
    "deliveries",
];

/// Time and the end of a process concern everybody's rows, and no tenant is told of them.
const OF_EVERYBODY: &[&str] = &[
    "WHERE responses.expires <= ?",
    "WHERE responses.running",
    "WHERE first.due <= ?",
    "WHERE deliveries.due IS NOT NULL AND deliveries.created < ?",
    "WHERE deliveries.ended < ?",
];

fn literals(source: &str) -> Vec<&str> {
    source.split('"').skip(1).step_by(2).collect()
}

#[test]
fn every_query_on_a_tenants_rows_takes_the_tenants_id() {
    let mut seen = 0;
    for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        let source = std::fs::read_to_string(&path).unwrap();
        for sql in literals(&source) {
            for table in OF_A_TENANT {
                let reads =
                    [format!("FROM {table} "), format!("UPDATE {table} ")].iter().any(|text| sql.contains(text));
                if reads {
                    seen += 1;
                    // What concerns the installation belongs to no tenant.
                    let of_nobody = sql.contains("org IS NULL") || OF_EVERYBODY.iter().any(|text| sql.contains(text));
                    assert!(sql.contains("org = ?") || of_nobody, "{}: {sql}", path.display());
                }
            }
        }
    }
    assert!(seen >= 8, "the sources were not understood");
}

#[test]
fn no_query_is_put_together_at_run_time() {
    for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            let source = std::fs::read_to_string(&path).unwrap();
            assert!(!source.contains("AssertSqlSafe"), "{}", path.display());
        }
    }
}
