//! `verify` of ours and of frp judge the corpus alike.

use std::path::{Path, PathBuf};

use frp_tests::Side;
use tokio::process::Command;

/// frp's `verify` ignores feature gates: it refuses a virtual network that is enabled, and takes
/// a gate that does not exist. Running the program judges as ours does.
const DEFECT: [&str; 5] = [
    "frpc-full.json",
    "frpc-full.toml",
    "frpc-full.yaml",
    "frpc-gate-unknown.toml",
    "frpc-virtual-net.toml",
];

async fn accepts(side: &Side, file: &Path) -> bool {
    let name = file.file_name().unwrap().to_str().unwrap();
    let program = name.split('-').next().unwrap();
    let verify = Command::new(side.program(program))
        .args(["verify", "-c", name])
        .current_dir(file.parent().unwrap())
        .env("FRP_TEST_ADDR", "10.1.2.3")
        .output()
        .await;
    verify.unwrap().status.success()
}

#[tokio::test]
async fn every_file_of_the_corpus_has_frps_verdict() {
    let Some(theirs) = Side::reference("0.70.1") else {
        return;
    };
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/config/tests/corpus");
    let entries = std::fs::read_dir(corpus).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut differ = Vec::new();
    for file in &files {
        if accepts(&Side::Ours, file).await != accepts(&theirs, file).await {
            differ.push(file.file_name().unwrap().to_str().unwrap());
        }
    }
    assert!(files.len() > 100);
    assert_eq!(differ, DEFECT);
}
