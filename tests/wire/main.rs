//! The wire format from both sides: what we sign is read by others' libraries, and `verify` finds
//! whatever was changed.
#![cfg(all(feature = "agent", feature = "collector"))]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

#[path = "../kit/mod.rs"]
mod kit;
use kit::foreign;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use base64::Engine as _;
use foreign::{Foreign, SUMMARY, digest, verify};
use hdrhistogram::serialization::Deserializer;
use serde_json::{Value, json};
use wanproof::base::time::Wall;
use wanproof::evidence::bundle::{self, BundleFault, Material, Which};
use wanproof::evidence::chain::{ChainId, Head};
use wanproof::evidence::key::{PublicKey, SecretKey};
use wanproof::evidence::receipt::{self, Subject};
use wanproof::evidence::summary::{self, Signed, Summary};
use wanproof::evidence::verify::{Verdict, Verifier};

/// A summary of ours with all its parts, made from the page's form.
fn template(key: &SecretKey, minute: u64) -> Summary {
    let mut value = Foreign::new()
        .payload(minute, Some(&digest("")).filter(|_| minute > 0).map(String::as_str));
    value["agent"] = json!(key.kid());
    value["outages"] = json!([{"service": "ckt-0042", "probe": "hq-icmp", "from": "2026-11-23T10:00:57.412Z", "to": null,
        "definition": "builtin", "side": "unknown", "evidence": {"gateway": "answered"}}]);
    summary::read(&serde_json::to_vec(&value).unwrap()).unwrap()
}

fn key() -> SecretKey {
    SecretKey::from_seed(&[1; 32])
}

fn collector() -> SecretKey {
    SecretKey::from_seed(&[2; 32])
}

/// Some summaries of one chain.
fn chain(count: u64) -> Vec<Signed> {
    let mut head = Head::new(ChainId::from_bytes([7; 16]), None);
    (0..count).map(|seq| head.sign(template(&key(), seq), &key()).unwrap()).collect()
}

fn receipt(of: &Signed, by: &SecretKey) -> String {
    let subject = Subject { agent: key().kid(), chain: of.chain, seq: of.seq, digest: of.digest };
    let ended: Wall = "2026-11-23T10:00:00Z".parse().unwrap();
    receipt::sign(subject, ended + Duration::from_secs(60 * (of.seq + 1) + 2), by)
}

#[test]
fn every_summary_that_we_sign_is_verified_and_read_by_other_libraries() {
    let public: Value = serde_json::from_str(&key().public().to_jwk()).unwrap();
    let mut prev = Value::Null;
    for signed in chain(5) {
        let (header, said) = verify(&signed.jws, &public);
        assert_eq!((header.algorithm(), header.token_type()), (Some("EdDSA"), Some(SUMMARY)));
        let kid = foreign::thumbprint(public["x"].as_str().unwrap());
        assert_eq!((header.key_id(), &said["agent"]), (Some(kid.as_str()), &json!(kid)));
        assert_eq!((&said["prev"], &said["seq"]), (&prev, &json!(signed.seq)));
        let interval = &said["probes"][0]["intervals"][0];
        assert_eq!((&interval["outcomes"], &interval["seconds"]), (&json!("57a2l1a"), &json!(60)));
        let bytes = base64::engine::general_purpose::STANDARD
            .decode(interval["rtt_us"].as_str().unwrap())
            .unwrap();
        let histogram: hdrhistogram::Histogram<u64> =
            Deserializer::new().deserialize(&mut bytes.as_slice()).unwrap();
        assert_eq!(histogram.len(), 58);
        prev = json!(digest(&signed.jws));
    }
}

fn verdict(trusted: &[&PublicKey], files: &[(String, String)]) -> Verdict {
    let mut verifier = Verifier::new();
    trusted.iter().for_each(|key| verifier.trust(**key));
    files.iter().for_each(|(name, text)| verifier.add(name, text.as_bytes()));
    verifier.verdict()
}

/// An export of so many summaries with their receipts.
fn export(count: u64) -> Vec<(String, String)> {
    let signed = chain(count);
    let files = signed.iter().flat_map(|one| {
        let beside = format!("x/{}", one.chain);
        [
            (format!("{beside}/{}.jws", one.seq), one.jws.clone()),
            (format!("{beside}/{}.receipt.jws", one.seq), receipt(one, &collector())),
        ]
    });
    files.collect()
}

fn both(files: &[(String, String)]) -> Verdict {
    verdict(&[key().public(), collector().public()], files)
}

fn findings(verdict: &Verdict) -> String {
    verdict.findings.iter().map(|one| format!("{}: {}\n", one.file, one.what)).collect()
}

#[test]
fn a_whole_export_is_verified_and_what_it_proves_is_said() {
    let verdict = both(&export(4));
    assert!(verdict.ok, "{}", findings(&verdict));
    assert_eq!(
        (verdict.checked.summaries, verdict.checked.receipts, verdict.checked.chains),
        (4, 4, 1)
    );
    assert_eq!((verdict.checked.gaps.len(), verdict.findings.len()), (0, 0));
    let proved = verdict.proved.join("\n");
    assert!(
        proved.contains("4 summaries from 2026-11-23T10:00:00Z to 2026-11-23T10:04:00Z"),
        "{proved}"
    );
    assert!(proved.contains("2s after its end"), "{proved}");
}

/// How far the places lie from each other that are tried of a text: EVERY_PLACE=1 tries all, as
/// `benches/run tamper` does.
fn stride(usual: usize) -> usize {
    if std::env::var_os("EVERY_PLACE").is_some() { 1 } else { usual.max(1) }
}

#[test]
fn one_wrong_character_anywhere_is_found() {
    let files = export(1);
    let mut places = 0;
    for (index, (name, text)) in files.iter().enumerate() {
        // Every place of the receipt, of the header and of the signatures, and every fifth of the
        // long payload.
        let step = stride(if text.len() > 1000 { 5 } else { 1 });
        for at in (0..text.len())
            .step_by(step)
            .chain(0..text.len().min(150))
            .chain(text.len() - 90..text.len())
        {
            let mut changed = files.clone();
            let mut bytes = text.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            changed[index].1 = String::from_utf8(bytes).unwrap();
            let verdict = both(&changed);
            assert!(
                !verdict.ok && verdict.findings.iter().any(|one| one.file == *name),
                "byte {at} of {name}"
            );
            places += 1;
        }
        for changed in [text[..text.len() - 1].to_owned(), format!("{text}A"), String::new()] {
            let mut all = files.clone();
            all[index].1 = changed;
            assert!(!both(&all).ok, "{name}");
        }
    }
    println!("{places} places of a summary and its receipt, each found");
}

#[test]
fn what_is_missing_moved_doubled_or_exchanged_is_named() {
    let whole = export(4);
    let without = |names: &[&str]| {
        let kept = whole.iter().filter(|(name, _)| !names.iter().any(|gone| name.ends_with(gone)));
        both(&kept.cloned().collect::<Vec<_>>())
    };
    let gone = without(&["/1.jws", "/1.receipt.jws"]);
    assert!(!gone.ok && findings(&gone).contains("numbers 1 to 1"), "{}", findings(&gone));
    assert_eq!((gone.checked.gaps[0].from_seq, gone.checked.gaps[0].to_seq), (1, 1));
    let last = without(&["/3.jws"]);
    assert!(
        !last.ok && findings(&last).contains("the summary that it is for is missing"),
        "{}",
        findings(&last)
    );
    let unreceipted = without(&["/2.receipt.jws"]);
    assert!(unreceipted.ok);
    assert!(unreceipted.not_proved.iter().any(|what| what.starts_with("when 1 summary was made")));
    let later = without(&["/0.jws", "/0.receipt.jws"]);
    assert!(later.ok && later.not_proved.iter().any(|what| what.contains("before number 1")));
    let mut swapped = whole.clone();
    let (one, two) = (swapped[2].1.clone(), swapped[4].1.clone());
    (swapped[2].1, swapped[4].1) = (two, one);
    assert!(findings(&both(&swapped)).contains("it is named as number 1, but holds number 2"));
    let mut doubled = whole.clone();
    doubled.push(("again.jws".into(), whole[2].1.clone()));
    assert!(findings(&both(&doubled)).contains("there twice"));
    let mut foreign = whole.clone();
    foreign[3].1 = receipt(&chain(4)[2], &collector());
    assert!(!both(&foreign).ok);
    let mut head = Head::new(ChainId::from_bytes([7; 16]), None);
    let mut other = template(&key(), 0);
    other.site = "elsewhere".into();
    let mut conflicting = whole.clone();
    conflicting.push(("other.jws".into(), head.sign(other, &key()).unwrap().jws));
    assert!(findings(&both(&conflicting)).contains("there twice, and differs"));
}

#[test]
fn a_chain_with_a_changed_link_is_found_even_when_it_is_signed_again() {
    // The agent's owner changes number 1 and signs it anew: number 2 tells.
    let mut head = Head::new(ChainId::from_bytes([7; 16]), None);
    head.sign(template(&key(), 0), &key()).unwrap();
    let mut other = template(&key(), 1);
    other.outages.clear();
    let again = head.sign(other, &key()).unwrap();
    let mut files = export(4);
    files[2].1 = again.jws.clone();
    let found = findings(&both(&files));
    assert!(found.contains("does not name the digest of the one before"), "{found}");
    assert!(found.contains("it is for another summary of number 1"), "{found}");
}

#[test]
fn what_an_outbox_dropped_is_no_fault_but_is_not_proved() {
    let mut head = Head::new(ChainId::from_bytes([7; 16]), None);
    let mut files = Vec::new();
    for seq in 0..6u64 {
        let mut next = template(&key(), seq);
        if seq == 5 {
            let told = json!([{"chain": head.chain, "from_seq": 2, "to_seq": 3}]);
            next.dropped = serde_json::from_value(told).unwrap();
        }
        let signed = head.sign(next, &key()).unwrap();
        if !(2..=3).contains(&seq) {
            files.push((format!("{seq}.jws"), signed.jws));
        }
    }
    let verdict = verdict(&[key().public()], &files);
    assert!(verdict.ok, "{}", findings(&verdict));
    assert!(verdict.checked.gaps[0].dropped);
    assert!(verdict.not_proved.iter().any(|what| what.contains("numbers 2 to 3")));
}

#[test]
fn what_came_late_is_not_proved_unless_a_later_number_that_came_in_time_names_it() {
    let signed = chain(6);
    let received = |seq: usize, hours: u64| {
        let one = &signed[seq];
        let subject =
            Subject { agent: key().kid(), chain: one.chain, seq: one.seq, digest: one.digest };
        let ended: Wall = "2026-11-23T10:00:00Z".parse().unwrap();
        receipt::sign(
            subject,
            ended + Duration::from_secs(60 * (one.seq + 1) + 3600 * hours),
            &collector(),
        )
    };
    let files = |hours: [u64; 6]| -> Vec<(String, String)> {
        let each = signed.iter().zip(hours).enumerate();
        each.flat_map(|(seq, (one, hours))| {
            [
                (format!("{seq}.jws"), one.jws.clone()),
                (format!("{seq}.receipt.jws"), received(seq, hours)),
            ]
        })
        .collect()
    };
    let late = |verdict: &Verdict| {
        let not = verdict.not_proved.iter().filter(|what| what.contains("they are late"));
        not.cloned().collect::<Vec<_>>()
    };
    let in_time = both(&files([47; 6]));
    assert!(in_time.ok && late(&in_time).is_empty(), "{:?}", in_time.not_proved);
    // Numbers 1 and 2 came a month later, and number 3 in time: it names number 2, which names
    // number 1.
    let named = both(&files([1, 700, 700, 1, 1, 1]));
    assert!(named.ok && late(&named).is_empty(), "{:?}", named.not_proved);
    assert!(
        named.proved.iter().any(|what| what.contains("numbers after them")),
        "{:?}",
        named.proved
    );
    // Of the last two nothing says when they were made but their own receipts.
    let made_up = both(&files([1, 1, 1, 1, 700, 700]));
    assert!(made_up.ok, "late is no fault: {}", findings(&made_up));
    let told = late(&made_up);
    assert!(told.len() == 1 && told[0].contains("numbers 4 to 5"), "{told:?}");
}

#[test]
fn keys_that_nobody_trusts_prove_nothing() {
    let files = export(2);
    let none = verdict(&[], &files);
    assert!(!none.ok && none.findings.iter().all(|one| one.what.starts_with("untrusted-key")));
    assert_eq!(none.checked.summaries, 0);
    let half = verdict(&[key().public()], &files);
    assert_eq!((half.ok, half.checked.summaries, half.checked.receipts), (false, 2, 0));
    // Brought along, they show that the files fit together, and no more.
    let mut verifier = Verifier::new();
    verifier.bring(*key().public());
    verifier.bring(*collector().public());
    files.iter().for_each(|(name, text)| verifier.add(name, text.as_bytes()));
    let brought = verifier.verdict();
    assert_eq!((brought.ok, brought.checked.summaries, brought.findings.len()), (false, 2, 2));
    assert!(brought.findings.iter().all(|one| one.what.starts_with("untrusted-key")));
}

#[test]
fn an_agent_cannot_give_itself_receipts() {
    let signed = chain(1);
    let files = [
        ("0.jws".to_owned(), signed[0].jws.clone()),
        ("0.receipt.jws".to_owned(), receipt(&signed[0], &key())),
    ];
    let verdict = both(&files);
    assert!(
        !verdict.ok && findings(&verdict).contains("an agent's own key"),
        "{}",
        findings(&verdict)
    );
    // Nor by its next key, to which the trust in its first one is handed on.
    let next = SecretKey::from_seed(&[3; 32]);
    let mut head = Head::new(ChainId::from_bytes([7; 16]), None);
    let naming = head.sign_with_next_key(template(&key(), 0), &key(), &next).unwrap();
    let files = [
        ("0.jws".to_owned(), naming.jws.clone()),
        ("0.receipt.jws".to_owned(), receipt(&naming, &next)),
    ];
    let verdict = both(&files);
    assert!(
        !verdict.ok && findings(&verdict).contains("an agent's own key"),
        "{}",
        findings(&verdict)
    );
}

#[test]
fn a_replaced_key_is_followed_and_signs_nothing_more() {
    let next = SecretKey::from_seed(&[3; 32]);
    let mut head = Head::new(ChainId::from_bytes([7; 16]), None);
    let zero = head.sign_with_next_key(template(&key(), 0), &key(), &next).unwrap();
    let fork = head;
    let one = head.sign(template(&key(), 1), &next).unwrap();
    let files = |one: &Signed| {
        [("1.jws".to_owned(), one.jws.clone()), ("0.jws".to_owned(), zero.jws.clone())]
    };
    let good = verdict(&[key().public()], &files(&one));
    assert!(good.ok, "{}", findings(&good));
    let mut fork = fork;
    let by_old = fork.sign(template(&key(), 1), &key()).unwrap();
    let bad = verdict(&[key().public()], &files(&by_old));
    assert!(!bad.ok && findings(&bad).contains("which number 0 of chain"), "{}", findings(&bad));
    // Without the summary that names it, a key is not the agent's, even if somebody trusts it.
    let alone = verdict(&[next.public()], &files(&one)[..1]);
    assert!(
        !alone.ok && findings(&alone).contains("no summary here names that key"),
        "{}",
        findings(&alone)
    );
}

fn wanproof(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_wanproof")).args(args).output().unwrap()
}

fn write(dir: &Path, files: &[(String, String)]) {
    for (name, text) in files {
        let path = dir.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
}

#[test]
fn the_command_says_it_in_words_in_json_and_by_its_exit_code() {
    let at = tempfile::tempdir().unwrap();
    let path = |name: &str| at.path().join(name).display().to_string();
    write(at.path(), &export(3));
    std::fs::write(path("agent.jwk"), key().public().to_jwk()).unwrap();
    std::fs::write(path("collector.jwk"), collector().public().to_jwk()).unwrap();
    let with_keys = |more: &[&str]| {
        let (agent, collector) = (path("agent.jwk"), path("collector.jwk"));
        let mut args = vec!["verify", "--key", &agent, "--key", &collector];
        args.extend(more);
        wanproof(&args)
    };
    let good = with_keys(&[&path("x"), "--json"]);
    let answer: Value = serde_json::from_slice(&good.stdout).unwrap();
    assert_eq!(good.status.code(), Some(0), "{answer}");
    assert_eq!(
        (&answer["ok"], &answer["checked"]["summaries"], &answer["findings"]),
        (&json!(true), &json!(3), &json!([]))
    );
    assert_eq!(
        (&answer["checked"]["receipts"], &answer["checked"]["gaps"]),
        (&json!(3), &json!([]))
    );
    let words = String::from_utf8(with_keys(&[&path("x")]).stdout).unwrap();
    assert!(words.starts_with("verified: 3 summaries, 3 receipts, 1 chain\n"), "{words}");
    let one = path(&format!("x/{}/1.jws", "07".repeat(16)));
    assert_eq!(with_keys(&[&one]).status.code(), Some(0));
    let text = std::fs::read_to_string(&one).unwrap().replacen("ey", "eA", 1);
    std::fs::write(&one, text).unwrap();
    let bad = with_keys(&[&path("x"), "--json"]);
    let answer: Value = serde_json::from_slice(&bad.stdout).unwrap();
    assert_eq!((bad.status.code(), &answer["ok"]), (Some(1), &json!(false)));
    assert!(
        answer["findings"].as_array().unwrap().iter().any(|finding| finding["file"] == json!(one)),
        "{answer}"
    );
    assert_eq!(wanproof(&["verify", &path("x")]).status.code(), Some(1));
    assert_eq!(with_keys(&[&path("no-such-file")]).status.code(), Some(3));
    std::fs::write(path("bad.jwk"), "{}").unwrap();
    assert_eq!(wanproof(&["verify", "--key", &path("bad.jwk"), &path("x")]).status.code(), Some(2));
    assert_eq!(wanproof(&["verify"]).status.code(), Some(2));
}

const CONTRACT: &str = r#"
schema = "wanproof.contract/1"

[agreement]
id = "ACME"
version = 1
level = "service"
provider = { name = "Example <Carrier>", contact = "noc@carrier.example" }
customer = { name = "ACME Ltd", contact = "network@acme.example" }
signed = "2026-01-15"
effective_from = "2026-02-01T00:00:00Z"
renewal = "month_to_month"
timezone = "Europe/London"
currency = "GBP"
measured_by = "joint"

[[service]]
id = "ckt-0042"
site = "leeds-01"
mrc = "4000.00"
probes = ["hq-icmp"]
in_service_from = "2026-02-10T00:00:00Z"
sla_from = "acceptance"

[[exclusion]]
id = "maint"
kind = "scheduled_maintenance"
removes = "downtime"

[[objective]]
id = "loss"
metric = "loss"
unit = "percent"
op = "<="
target = "1"

[objective.measure]
probes = ["hq-icmp"]
late_is = "good"
min_coverage = "0"
only_while_available = false

[objective.aggregate]
period = "month"

[objective.remedy]
driver = "breach"
base = "mrc"
tiers = [{ from = "1", credit = "5%" }]
requires_ticket = false

[claim]
mode = "on_request"
within = 30
unit = "days"
counted_from = "period_end"
rounding = "half_up"
settled = "next_invoice"
"#;

fn material(count: u64) -> Material {
    let signed = chain(count);
    Material {
        contracts: vec![CONTRACT.to_owned()],
        facts: json!({"period": "2026-11", "service": "ckt-0042", "excluded": []}).to_string(),
        receipts: signed.iter().map(|one| receipt(one, &collector())).collect(),
        summaries: signed.into_iter().map(|one| one.jws).collect(),
        keys: vec![*key().public(), *collector().public()],
        ..Material::default()
    }
}

fn acme() -> Which {
    Which { id: "ACME".into(), version: 1 }
}

fn check(bytes: &[u8], trusted: &[&PublicKey]) -> Verdict {
    let mut verifier = Verifier::new();
    trusted.iter().for_each(|key| verifier.trust(**key));
    bundle::check("b.zip", bytes, verifier)
}

/// The members of a bundle, by another way than ours.
fn members(bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
    use std::io::Read as _;
    let mut archive = zip::ZipArchive::new(std::io::Cursor::new(bytes)).unwrap();
    let mut all = Vec::new();
    for at in 0..archive.len() {
        let mut member = archive.by_index(at).unwrap();
        let mut plain = Vec::new();
        member.read_to_end(&mut plain).unwrap();
        all.push((member.name().unwrap().into_owned(), plain));
    }
    all
}

fn zipped(members: &[(String, Vec<u8>)]) -> Vec<u8> {
    use std::io::Write as _;
    let mut to = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, bytes) in members {
        let options = zip::write::SimpleFileOptions::default()
            .compression_method(zip::CompressionMethod::Stored);
        to.start_file(name.as_str(), options).unwrap();
        to.write_all(bytes).unwrap();
    }
    to.finish().unwrap().into_inner()
}

#[test]
fn a_bundle_is_the_same_bytes_again_and_its_verdict_is_recomputed() {
    let bytes = bundle::make(&acme(), &material(3)).unwrap();
    assert_eq!(bundle::make(&acme(), &material(3)).unwrap(), bytes);
    let verdict = check(&bytes, &[key().public(), collector().public()]);
    assert!(verdict.ok, "{}", findings(&verdict));
    assert_eq!((verdict.checked.summaries, verdict.checked.receipts), (3, 3));
    let proved = verdict.proved.join("\n");
    // Two of sixty were lost in each minute: 3.33 % against at most 1 %.
    assert!(proved.contains("200.00 GBP for ckt-0042 in 2026-11"), "{proved}");
    let not = verdict.not_proved.join("\n");
    assert!(
        not.contains("taken on trust: excluded") && not.contains("both parties agreed"),
        "{not}"
    );
    let all = members(&bytes);
    let names: Vec<&str> = all.iter().map(|(name, _)| name.as_str()).collect();
    for name in ["claim.json", "contracts/ACME-1.toml", "facts.json", "report.html", "verdict.json"]
    {
        assert!(names.contains(&name), "{names:?}");
    }
    assert!(
        names.contains(&format!("summaries/{}/{}/2.jws", key().kid(), "07".repeat(16)).as_str()),
        "{names:?}"
    );
    assert!(
        names.contains(&format!("receipts/{}/{}/0.jws", key().kid(), "07".repeat(16)).as_str())
    );
    assert!(names.contains(&format!("keys/{}.jwk", collector().kid()).as_str()));
    let page =
        String::from_utf8(all.iter().find(|(name, _)| name == "report.html").unwrap().1.clone())
            .unwrap();
    assert!(page.contains("200.00 GBP") && page.contains("Example &lt;Carrier&gt;"), "{page}");
    assert!(!page.contains("<script") && !page.contains("http"), "it needs nothing from elsewhere");
    // Zipped again by others it is as good.
    assert!(check(&zipped(&all), &[key().public(), collector().public()]).ok);
}

/// A month that begins by version 1 and ends by version 2, which promises and pays otherwise.
#[test]
fn a_bundle_of_a_month_of_two_versions_is_recomputed_by_both() {
    let second = CONTRACT
        .replace("version = 1", "version = 2\nsupersedes = 1")
        .replace(
            "effective_from = \"2026-02-01T00:00:00Z\"",
            "effective_from = \"2026-11-23T10:02:00Z\"",
        )
        .replace("target = \"1\"", "target = \"2\"")
        .replace("credit = \"5%\"", "credit = \"10%\"");
    let both = Material { contracts: vec![CONTRACT.to_owned(), second.clone()], ..material(4) };
    let which = Which { id: "ACME".into(), version: 2 };
    let trusted = [*key().public(), *collector().public()];
    let trusted: Vec<&PublicKey> = trusted.iter().collect();
    let bytes = bundle::make(&which, &both).unwrap();
    let verdict = check(&bytes, &trusted);
    assert!(verdict.ok, "{}", findings(&verdict));
    // Two minutes by each: 5 % and 10 % of 4000.00.
    assert!(
        verdict.proved.join("\n").contains("600.00 GBP for ckt-0042 in 2026-11"),
        "{:?}",
        verdict.proved
    );
    for version in [1, 2] {
        let unknown = format!("the agent knew contract ACME version {version} ");
        assert!(
            verdict.not_proved.iter().any(|what| what.contains(&unknown)),
            "{:?}",
            verdict.not_proved
        );
    }
    let all = members(&bytes);
    let text = |name: &str| {
        String::from_utf8(all.iter().find(|(of, _)| of == name).unwrap().1.clone()).unwrap()
    };
    assert_eq!(
        (text("contracts/ACME-1.toml"), text("contracts/ACME-2.toml")),
        (CONTRACT.to_owned(), second.clone())
    );
    let said: Value = serde_json::from_str(&text("verdict.json")).unwrap();
    let stood: Vec<(Option<u64>, &str, &str)> = said["objectives"]
        .as_array()
        .unwrap()
        .iter()
        .map(|each| {
            (
                each["version"].as_u64(),
                each["target"].as_str().unwrap(),
                each["credit"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(stood, [(Some(1), "1", "200.00"), (None, "2", "400.00")]);
    assert!(text("report.html").contains("<td>loss (version 1)"), "people are told which is whose");

    // Another text of the earlier version, with digests to match, gives another verdict.
    let mut changed = all.clone();
    let place = |name: &str| all.iter().position(|(of, _)| of == name).unwrap();
    changed[place("contracts/ACME-1.toml")].1 =
        CONTRACT.replace("credit = \"5%\"", "credit = \"6%\"").into_bytes();
    let mut claim: Value = serde_json::from_str(&text("claim.json")).unwrap();
    use sha2::Digest as _;
    let hex = |bytes: &[u8]| {
        sha2::Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    claim["members"]["contracts/ACME-1.toml"] =
        json!(hex(&changed[place("contracts/ACME-1.toml")].1));
    changed[place("claim.json")].1 = serde_json::to_vec_pretty(&claim).unwrap();
    let found = findings(&check(&zipped(&changed), &trusted));
    assert!(found.contains("verdict.json: it does not follow from the summaries"), "{found}");

    // Without the earlier version the later one's part alone is proven, and it is said what is not.
    let verdict = check(
        &bundle::make(&which, &Material { contracts: vec![second], ..both }).unwrap(),
        &trusted,
    );
    assert!(
        verdict.ok && verdict.proved.join("\n").contains("400.00 GBP for ckt-0042"),
        "{:?}",
        verdict.proved
    );
    let missing =
        "what version 1 says of 2026-11 before 2026-11-23T10:02:00Z: it is not in the bundle";
    assert!(verdict.not_proved.iter().any(|what| what == missing), "{:?}", verdict.not_proved);
}

#[test]
fn a_bundle_of_a_later_key_brings_the_summary_that_names_it() {
    let next = SecretKey::from_seed(&[3; 32]);
    let mut head = Head::new(ChainId::from_bytes([7; 16]), None);
    let zero = head.sign_with_next_key(at_month(9, 0), &key(), &next).unwrap();
    let between = head.sign(at_month(9, 1), &next).unwrap();
    let later: Vec<Signed> =
        (2..4).map(|seq| head.sign(at_month(11, seq), &next).unwrap()).collect();
    let whole = |signed: &[&Signed]| Material {
        summaries: signed.iter().map(|one| one.jws.clone()).collect(),
        receipts: Vec::new(),
        keys: vec![*key().public(), *next.public()],
        ..material(0)
    };
    // Whether or not what lies between is still kept, the same bundle comes of it.
    let bytes = bundle::make(&acme(), &whole(&[&zero, &between, &later[0], &later[1]])).unwrap();
    assert_eq!(bundle::make(&acme(), &whole(&[&zero, &later[0], &later[1]])).unwrap(), bytes);
    let names: Vec<String> = members(&bytes).into_iter().map(|(name, _)| name).collect();
    let summaries: Vec<&str> =
        names.iter().filter_map(|name| name.strip_prefix("summaries/")).collect();
    assert!(
        summaries.len() == 3
            && summaries[0].ends_with("/0.jws")
            && summaries[1].ends_with("/2.jws"),
        "{names:?}"
    );
    // The first key alone is trusted; the summary that names the other hands the trust on.
    let verdict = check(&bytes, &[key().public()]);
    assert!(verdict.ok, "{}", findings(&verdict));
    assert!(
        verdict.not_proved.iter().any(|what| what.contains("numbers 1 to 1")),
        "{:?}",
        verdict.not_proved
    );
    assert!(!check(&bytes, &[next.public()]).ok);
    // Within the period a missing one is a fault all the same.
    assert!(
        bundle::make(&acme(), &whole(&[&zero, &between, &later[1]])).is_ok(),
        "before the first, nothing is known"
    );
    let more = head.sign(at_month(11, 4), &next).unwrap();
    let gap = bundle::make(&acme(), &whole(&[&zero, &between, &later[0], &more]));
    assert!(matches!(gap, Err(BundleFault::Unproven(_))), "{gap:?}");
}

/// A summary of a month; the numbers of the minutes do not matter.
fn at_month(month: u8, seq: u64) -> Summary {
    let mut value = serde_json::to_value(template(&key(), seq)).unwrap();
    value["outages"] = json!([]);
    let text = value.to_string().replace("2026-11-23T", &format!("2026-{month:02}-23T"));
    summary::read(text.as_bytes()).unwrap()
}

#[test]
fn a_bundles_own_keys_prove_only_that_it_is_consistent() {
    let bytes = bundle::make(&acme(), &material(2)).unwrap();
    for trusted in [&[][..], &[key().public()]] {
        let verdict = check(&bytes, trusted);
        assert!(
            !verdict.ok && verdict.findings.iter().all(|one| one.what.starts_with("untrusted-key")),
            "{}",
            findings(&verdict)
        );
        assert_eq!(verdict.findings.len(), 2 - trusted.len());
        assert!(verdict.proved.join("\n").contains("verdict.json follows"));
    }
}

#[test]
fn one_wrong_character_in_any_member_of_a_bundle_is_found() {
    let trusted = [*key().public(), *collector().public()];
    let trusted: Vec<&PublicKey> = trusted.iter().collect();
    let all = members(&bundle::make(&acme(), &material(1)).unwrap());
    let mut places = 0;
    for (index, (name, bytes)) in all.iter().enumerate() {
        // Each check recomputes everything, so usually only some places are tried.
        for at in (0..bytes.len()).step_by(stride(bytes.len() / 50)) {
            let mut changed = all.clone();
            changed[index].1[at] = if bytes[at] == b'1' { b'2' } else { b'1' };
            let verdict = check(&zipped(&changed), &trusted);
            let named = verdict
                .findings
                .iter()
                .any(|one| one.file.contains(name.as_str()) || name == "claim.json");
            assert!(!verdict.ok && named, "byte {at} of {name}: {}", findings(&verdict));
            places += 1;
        }
        let mut without = all.clone();
        without.remove(index);
        let verdict = check(&zipped(&without), &trusted);
        assert!(
            !verdict.ok && verdict.findings.iter().any(|one| one.file.contains(name.as_str())),
            "{name} is missing: {}",
            findings(&verdict)
        );
        let mut renamed = all.clone();
        renamed[index].0.push('x');
        assert!(!check(&zipped(&renamed), &trusted).ok, "{name} is renamed");
    }
    let mut more = all.clone();
    more.push(("notes.txt".into(), b"trust me".to_vec()));
    assert!(findings(&check(&zipped(&more), &trusted)).contains("claim.json does not name it"));
    for bytes in [&b""[..], b"PK\x03\x04", b"no zip at all, but long enough to be one"] {
        assert!(!check(bytes, &trusted).ok);
    }
    println!("{places} places of {} members of a bundle, each found", all.len());
}

#[test]
fn a_wrong_byte_of_a_bundles_file_is_found_or_changes_nothing() {
    let trusted = [*key().public(), *collector().public()];
    let trusted: Vec<&PublicKey> = trusted.iter().collect();
    let whole = bundle::make(&acme(), &material(1)).unwrap();
    let all = members(&whole);
    for at in (0..whole.len()).step_by(stride(whole.len() / 200)) {
        let mut changed = whole.clone();
        changed[at] ^= 0x01;
        if check(&changed, &trusted).ok {
            // A time stamp, a right, a version: what lies around the members.
            assert!(members(&changed) == all, "byte {at}");
        }
    }
}

#[test]
fn a_doubled_moved_or_reordered_member_of_a_bundle_is_named() {
    let trusted = [*key().public(), *collector().public()];
    let trusted: Vec<&PublicKey> = trusted.iter().collect();
    let all = members(&bundle::make(&acme(), &material(3)).unwrap());
    let renamed = |mut bytes: Vec<u8>, from: &[u8], to: &[u8]| {
        for at in 0..bytes.len() - from.len() {
            if bytes[at..].starts_with(from) {
                bytes[at..at + from.len()].copy_from_slice(to);
            }
        }
        bytes
    };
    let mut twice = all.clone();
    twice.push(("facts.jsoX".into(), b"{}".to_vec()));
    let found = findings(&check(&renamed(zipped(&twice), b"facts.jsoX", b"facts.json"), &trusted));
    assert!(found.contains("the member \"facts.json\" is there twice"), "{found}");
    // Two summaries in each other's place, with digests to match.
    let mut swapped = all.clone();
    let place = |end: &str| {
        all.iter()
            .position(|(name, _)| name.starts_with("summaries/") && name.ends_with(end))
            .unwrap()
    };
    let (one, two) = (place("/1.jws"), place("/2.jws"));
    (swapped[one].1, swapped[two].1) = (all[two].1.clone(), all[one].1.clone());
    let claim = swapped.iter().position(|(name, _)| name == "claim.json").unwrap();
    let mut said: Value = serde_json::from_slice(&swapped[claim].1).unwrap();
    let digests = (said["members"][&all[one].0].clone(), said["members"][&all[two].0].clone());
    (said["members"][&all[two].0], said["members"][&all[one].0]) = digests;
    swapped[claim].1 = serde_json::to_vec_pretty(&said).unwrap();
    let found = findings(&check(&zipped(&swapped), &trusted));
    assert!(found.contains("1.jws: it is named as number 1, but holds number 2"), "{found}");
    // Zipped again in another order: whole all the same, and told.
    let mut reordered = all.clone();
    reordered.reverse();
    let verdict = check(&zipped(&reordered), &trusted);
    assert!(verdict.ok, "{}", findings(&verdict));
    assert!(
        verdict.not_proved.iter().any(|what| what.contains("the order of the names")),
        "{:?}",
        verdict.not_proved
    );
}

#[test]
fn a_bundle_whose_maker_changed_facts_verdict_and_digests_alike_still_does_not_add_up() {
    let trusted = [*key().public(), *collector().public()];
    let trusted: Vec<&PublicKey> = trusted.iter().collect();
    let mut all = members(&bundle::make(&acme(), &material(2)).unwrap());
    let place =
        |all: &[(String, Vec<u8>)], name: &str| all.iter().position(|(of, _)| of == name).unwrap();
    let verdict = place(&all, "verdict.json");
    let text = String::from_utf8(all[verdict].1.clone()).unwrap().replace("200.00", "900.00");
    all[verdict].1 = text.clone().into_bytes();
    let claim = place(&all, "claim.json");
    let mut said: Value = serde_json::from_slice(&all[claim].1).unwrap();
    use sha2::Digest as _;
    let hex: String =
        sha2::Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    said["members"]["verdict.json"] = json!(hex);
    said["credit"] = json!("900.00");
    all[claim].1 = serde_json::to_vec_pretty(&said).unwrap();
    let found = findings(&check(&zipped(&all), &trusted));
    assert!(found.contains("it does not follow from the summaries"), "{found}");
    assert!(found.contains("it claims something else"), "{found}");
}

#[test]
fn no_bundle_is_made_of_what_does_not_verify() {
    let mut gap = material(4);
    gap.summaries.remove(2);
    assert!(matches!(bundle::make(&acme(), &gap), Err(BundleFault::Unproven(_))));
    let unknown = Which { id: "OTHER".into(), version: 1 };
    assert!(matches!(bundle::make(&unknown, &material(1)), Err(BundleFault::NoContract { .. })));
    let facts = Material { facts: "{}".into(), ..material(1) };
    assert!(matches!(bundle::make(&acme(), &facts), Err(BundleFault::Faults(_))));
}

/// A Python with the two libraries that the reader needs, in a place of its own; or why there is
/// none.
fn python() -> Result<std::path::PathBuf, String> {
    let at = Path::new(env!("CARGO_TARGET_TMPDIR")).join("python");
    let python = at.join("bin/python");
    let ready = |python: &Path| {
        let tried = Command::new(python).args(["-c", "import hdrh, jwcrypto"]).output();
        tried.is_ok_and(|output| output.status.success())
    };
    if ready(&python) {
        return Ok(python);
    }
    let run = |command: &mut Command| {
        let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.success() { Ok(()) } else { Err(format!("{command:?}: {said}")) }
    };
    run(Command::new("python3").args(["-m", "venv"]).arg(&at))?;
    run(Command::new(&python).args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "jwcrypto",
        "hdrhistogram",
    ]))?;
    if ready(&python) { Ok(python) } else { Err("the libraries cannot be imported".to_owned()) }
}

#[test]
fn a_reader_in_another_language_reads_what_we_sign() {
    let python = match python() {
        Ok(python) => python,
        Err(why) => {
            use std::io::Write as _;
            // Past the test harness's capture: tests/run installs what is missing.
            let _ = writeln!(
                std::io::stderr(),
                "skipped: no Python with jwcrypto and hdrhistogram can be made: {why}"
            );
            return;
        }
    };
    let at = tempfile::tempdir().unwrap();
    let path = |name: &str| at.path().join(name).display().to_string();
    write(at.path(), &export(4));
    std::fs::write(path("agent.jwk"), key().public().to_jwk()).unwrap();
    std::fs::write(path("collector.jwk"), collector().public().to_jwk()).unwrap();
    let read = |what: &str| {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/read_summaries.py");
        let mut command = Command::new(&python);
        command.arg(script).args([
            "--key",
            &path("agent.jwk"),
            "--key",
            &path("collector.jwk"),
            &path(what),
        ]);
        let output = command.output().unwrap();
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stdout).into_owned()
                + &String::from_utf8_lossy(&output.stderr),
        )
    };
    let (code, said) = read("x");
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("hq-icmp a=232 t=0 l=8")
            && said.contains("4 summaries, 4 receipts, 1 chains, 0 faults"),
        "{said}"
    );
    let mut bytes = bundle::make(&acme(), &material(4)).unwrap();
    std::fs::write(path("b.zip"), &bytes).unwrap();
    let (code, said) = read("b.zip");
    assert!(
        code == Some(0) && said.contains("4 summaries, 4 receipts, 1 chains, 0 faults"),
        "{said}"
    );
    // Another facts.json than the claim names.
    bytes = zipped(&members(&bytes).into_iter().map(changed_facts).collect::<Vec<_>>());
    std::fs::write(path("b.zip"), &bytes).unwrap();
    let (code, said) = read("b.zip");
    assert!(
        code == Some(1) && said.contains("facts.json: its digest is not the one in claim.json"),
        "{said}"
    );
    std::fs::remove_file(path(&format!("x/{}/1.jws", "07".repeat(16)))).unwrap();
    let (code, said) = read("x");
    assert!(code == Some(1) && said.contains("numbers 1 to 1 are missing"), "{said}");
}

fn changed_facts((name, mut bytes): (String, Vec<u8>)) -> (String, Vec<u8>) {
    if name == "facts.json" {
        bytes.push(b' ');
    }
    (name, bytes)
}
