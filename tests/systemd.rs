//! The units, as systemd itself judges how tightly they hold the programs in.

mod common;

use std::path::Path;
use std::process::Command;

use common::wan::installed;

#[test]
fn systemd_finds_both_units_tight() {
    if !installed("systemd-analyze") {
        return;
    }
    for unit in ["wanproof-agent.service", "wanproof-collector.service"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd").join(unit);
        let mut analyze = Command::new("systemd-analyze");
        // 0 is not exposed at all, 100 wholly.
        let output = analyze.args(["security", "--offline=true", "--no-pager", "--threshold=15"]).arg(path).output();
        let output = output.unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.contains("Overall exposure level"), "{said}{}", String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{unit} is exposed by more than 1.5: {said}");
    }
}
