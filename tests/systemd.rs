//! The units, as systemd itself judges how tightly they hold the programs in.

mod kit;

use std::path::Path;
use std::process::Command;

use kit::wan::installed;

#[test]
fn systemd_finds_both_units_tight() {
    if !installed("systemd-analyze") {
        return;
    }
    for unit in ["wanproof-agent.service", "wanproof-collector.service"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd").join(unit);
        let mut analyze = Command::new("systemd-analyze");
        // 0 is not exposed at all, 100 wholly.
        let output = analyze
            .args(["security", "--offline=true", "--no-pager", "--threshold=15"])
            .arg(path)
            .output();
        let output = output.unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(
            said.contains("Overall exposure level"),
            "{said}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(output.status.success(), "{unit} is exposed by more than 1.5: {said}");
    }
}

#[test]
fn both_units_leave_no_core_and_have_files_for_every_connection() {
    for unit in ["wanproof-agent.service", "wanproof-collector.service"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd").join(unit);
        let text = std::fs::read_to_string(path).unwrap();
        assert!(text.lines().any(|line| line == "LimitCORE=0"), "{unit}");
        let files = text.lines().find_map(|line| line.strip_prefix("LimitNOFILE=")).unwrap();
        assert!(files.parse::<u32>().unwrap() >= 16_384, "{unit}");
    }
}
