//! The metrics as Prometheus and promtool meet them.

#![expect(clippy::unwrap_used, reason = "a test may panic where it cannot go on")]

use crate::kit;

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use kit::process::{PATIENCE, Running};
use kit::wan::installed;
use nix::sys::signal::Signal;

fn agent(dir: &Path) -> (Running, String) {
    // Its port is taken by nobody: it is bound here, and never listens again once it is dropped.
    let shut = TcpListener::bind("127.31.8.1:0").unwrap().local_addr().unwrap();
    let open = TcpListener::bind("127.31.8.2:0").unwrap();
    let mut text =
        "site = \"leeds-01\"\ndata_dir = \"data\"\n[metrics]\nlisten = \"127.0.0.1:0\"\n"
            .to_owned();
    for (name, target) in [("shut", shut), ("open", open.local_addr().unwrap())] {
        text += &format!(
            "[[probe]]\nname = \"{name}\"\nkind = \"tcp\"\ntarget = \"{target}\"\nperiod \
                = \"50ms\"\n"
        );
    }
    std::thread::spawn(move || open.incoming().for_each(drop));
    std::fs::write(dir.join("agent.toml"), text).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_wanproof"));
    let mut agent =
        Running::start(command.current_dir(dir).args(["run", "--config", "agent.toml"]));
    let address = address(&agent.says("metrics are at"));
    (agent, address)
}

fn address(line: &str) -> String {
    line.split_once("http://").unwrap().1.split('/').next().unwrap().to_owned()
}

/// Head and body of an answer.
fn ask(address: &str, request: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(format!("{request}\r\nHost: {address}\r\n\r\n").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

const OPENMETRICS: &str =
    "GET /metrics HTTP/1.1\r\nAccept: application/openmetrics-text;version=1.0.0,text/plain;q=0.5";
const TEXT: &str = "GET /metrics HTTP/1.1\r\nAccept: text/plain";

fn value(page: &str, sample: &str) -> Option<f64> {
    page.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' ')?.parse().ok())
}

/// The page, once both probes have settled into their states.
fn settled(address: &str) -> String {
    let begun = Instant::now();
    loop {
        let (head, page) = ask(address, OPENMETRICS);
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        assert!(
            head.contains(
                "content-type: application/openmetrics-text; version=1.0.0; charset=utf-8"
            ),
            "{head}"
        );
        let state = |probe: &str, state: &str| {
            value(
                &page,
                &format!(
                    "wanproof_probe_state{{probe=\"{probe}\",wanproof_probe_state=\"{state}\"}}"
                ),
            )
        };
        // One answer is enough for a state, but not for what is counted below.
        let answered =
            value(&page, "wanproof_probe_outcomes_total{probe=\"open\",outcome=\"answered\"}");
        if (state("open", "up"), state("shut", "down")) == (Some(1.0), Some(1.0))
            && answered >= Some(3.0)
        {
            assert_eq!(state("open", "down"), Some(0.0));
            return page;
        }
        assert!(begun.elapsed() < PATIENCE, "{page}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_scrape_shows_outcomes_states_times_outbox_store_lag_clock_and_build() {
    let dir = tempfile::tempdir().unwrap();
    let (mut agent, address) = agent(dir.path());
    let page = settled(&address);
    assert!(page.ends_with("# EOF\n"), "{page}");
    let outcomes = |probe: &str, outcome: &str| {
        value(
            &page,
            &format!("wanproof_probe_outcomes_total{{probe=\"{probe}\",outcome=\"{outcome}\"}}"),
        )
        .unwrap()
    };
    assert!(outcomes("open", "answered") >= 3.0 && outcomes("shut", "refused") >= 3.0, "{page}");
    assert_eq!((outcomes("shut", "answered"), outcomes("open", "refused")), (0.0, 0.0));
    let timed = outcomes("open", "answered") + outcomes("open", "late");
    assert_eq!(value(&page, "wanproof_probe_rtt_seconds_count{probe=\"open\"}"), Some(timed));
    assert_eq!(
        value(&page, "wanproof_probe_rtt_seconds_bucket{probe=\"open\",le=\"+Inf\"}"),
        Some(timed)
    );
    assert_eq!(value(&page, "wanproof_probe_rtt_seconds_count{probe=\"shut\"}"), Some(0.0));
    assert_eq!(value(&page, "wanproof_outbox_summaries{state=\"waiting\"}"), Some(0.0));
    assert!(value(&page, "wanproof_store_bytes") > Some(0.0));
    for sample in [
        "wanproof_outbox_bytes",
        "wanproof_send_lag_seconds_count",
        "wanproof_receive_lag_seconds_sum",
    ] {
        assert!(value(&page, sample).is_some(), "{sample}: {page}");
    }
    let clocks = ["synchronised", "unsynchronised", "unknown"];
    let clock = |state| {
        value(&page, &format!("wanproof_clock_state{{wanproof_clock_state=\"{state}\"}}")).unwrap()
    };
    assert_eq!(clocks.map(clock).into_iter().sum::<f64>(), 1.0);
    assert!(
        page.contains(&format!(
            "wanproof_build_info{{version=\"{}\"}} 1\n",
            env!("CARGO_PKG_VERSION")
        )),
        "{page}"
    );

    assert!(ask(&address, "GET / HTTP/1.1").0.starts_with("HTTP/1.1 404"));
    let (head, _) = ask(&address, "POST /metrics HTTP/1.1\r\nContent-Length: 0");
    assert!(head.starts_with("HTTP/1.1 405") && head.contains("allow: GET, HEAD"), "{head}");
    assert_eq!(ask(&address, "HEAD /metrics HTTP/1.1").1, "");
    // Guests who never ask anything are many, and nobody waits for them.
    let _silent: Vec<TcpStream> = (0..4).map(|_| TcpStream::connect(&address).unwrap()).collect();
    settled(&address);

    agent.signal(Signal::SIGHUP);
    agent.says("the configuration was read again");
    let again = settled(&address);
    let sample = "wanproof_probe_outcomes_total{probe=\"open\",outcome=\"answered\"}";
    assert!(
        value(&again, sample) >= value(&page, sample),
        "a probe that did not change is counted on: {again}"
    );
    assert!(agent.terminate().success(), "{}", agent.told());
}

#[test]
fn promtool_has_no_fault_to_find() {
    if !installed("promtool") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (mut agent, address) = agent(dir.path());
    settled(&address);
    let (head, page) = ask(&address, TEXT);
    assert!(head.contains("content-type: text/plain; version=0.0.4"), "{head}");
    no_fault(&page);
    assert!(agent.terminate().success(), "{}", agent.told());
}

/// Has promtool look at a page.
pub fn no_fault(page: &str) {
    let mut promtool = Command::new("promtool");
    let promtool = promtool.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut promtool = promtool.stderr(Stdio::piped()).spawn().unwrap();
    promtool.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
    let said = promtool.wait_with_output().unwrap();
    assert!(
        said.status.success() && said.stdout.is_empty() && said.stderr.is_empty(),
        "{said:?}\n{page}"
    );
}

#[test]
fn a_real_prometheus_scrapes_and_understands_it() {
    if !installed("prometheus") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (mut agent, address) = agent(dir.path());
    understood(
        &mut prometheus(dir.path(), &address, ""),
        &[
            "up==1",
            "wanproof_probe_state{probe=%22shut%22,wanproof_probe_state=%22down%22}==1",
            "wanproof_probe_outcomes_total{probe=%22open%22,outcome=%22answered%22}>0",
            "histogram_quantile(0.5,wanproof_probe_rtt_seconds_bucket{probe=%22open%22})>0",
        ],
    );
    assert!(agent.terminate().success(), "{}", agent.told());
}

#[test]
fn a_prometheus_that_knows_native_histograms_gets_them() {
    if !installed("prometheus") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (mut agent, address) = agent(dir.path());
    let mut command = prometheus(dir.path(), &address, "");
    understood(
        command.arg("--enable-feature=native-histograms"),
        &[
            "up==1",
            "wanproof_probe_state{probe=%22shut%22,wanproof_probe_state=%22down%22}==1",
            "wanproof_probe_outcomes_total{probe=%22open%22,outcome=%22answered%22}>0",
            // No `le` any more: the histogram is one value.
            "histogram_count(wanproof_probe_rtt_seconds{probe=%22open%22})>3",
            "histogram_sum(wanproof_probe_rtt_seconds{probe=%22open%22})>0",
            "histogram_quantile(0.5,wanproof_probe_rtt_seconds{probe=%22open%22})>0",
            "histogram_quantile(0.99,wanproof_probe_rtt_seconds{probe=%22open%22})<60",
            "histogram_count(wanproof_probe_rtt_seconds{probe=%22shut%22})==0",
            "histogram_count(wanproof_send_lag_seconds)>0",
        ],
    );
    assert!(agent.terminate().success(), "{}", agent.told());
}

/// A Prometheus that scrapes an address, with `more` of its configuration.
pub fn prometheus(dir: &Path, address: &str, more: &str) -> Command {
    let config = format!(
        "global: {{ scrape_interval: 1s }}\nscrape_configs:\n  - job_name: wanproof\n    \
         static_configs: [{{ targets: [\"{address}\"] }}]\n    {more}\n"
    );
    std::fs::write(dir.join("prometheus.yml"), config).unwrap();
    let mut command = Command::new("prometheus");
    let arguments = [
        "--config.file=prometheus.yml",
        "--storage.tsdb.path=tsdb",
        "--web.listen-address=127.0.0.1:0",
    ];
    command.current_dir(dir).args(arguments);
    command
}

/// Starts a Prometheus, and waits until it answers each query.
pub fn understood(command: &mut Command, queries: &[&str]) {
    let mut prometheus = Running::start(command);
    let line = prometheus.says("msg=\"Listening on\"");
    let prometheus_at = line.rsplit_once("address=").unwrap().1.to_owned();
    let begun = Instant::now();
    for query in queries {
        let request = format!("GET /api/v1/query?query={query} HTTP/1.1\r\nConnection: close");
        while !ask(&prometheus_at, &request).1.contains("\"value\":[") {
            assert!(
                begun.elapsed() < PATIENCE,
                "{query}: {}\n{}",
                ask(&prometheus_at, &request).1,
                prometheus.told()
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}
