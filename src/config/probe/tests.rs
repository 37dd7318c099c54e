use super::*;

#[test]
fn dscp_names_are_the_registered_ones() {
    assert_eq!(
        ["ef", "EF", "cs6", "af43", "be"].map(|name| dscp(Ok(name))),
        [46, 46, 48, 38, 0].map(Some)
    );
    assert_eq!(["af44", "cs8", "af5", "", "é", "efx"].map(|name| dscp(Ok(name))), [None; 6]);
    assert_eq!((dscp(Err(63)), dscp(Err(64)), dscp(Err(-1))), (Some(63), None, None));
}

#[test]
fn the_digest_of_settings_is_what_it_always_was() {
    let digest = |keys: &str| {
        let text = format!("site = \"s\"\ndata_dir = \"d\"\n[[probe]]\nname = \"p\"\n{keys}");
        let config = crate::config::agent::parse(&text, "agent.toml", Path::new("/")).unwrap();
        settings_digest(&config.probes[0])
    };
    let kinds = [
        "kind = \"icmp\"\ntarget = \"192.0.2.1\"\nservice = \"x\"\ninterface = \"wan0\"\n",
        "kind = \"http\"\nurl = \"https://a.example/\"\n",
        "kind = \"tcp\"\ntarget = \"a.example:443\"\n",
        "kind = \"dns\"\ntarget = \"192.0.2.53:53\"\nquery = \"a.example\"\n",
    ];
    let digests = [
        "fe742b64620c5dd022fe028e8d975313",
        "6c443a09a5e697fd71d84d64e2dc98ad",
        "9d9a21367ade965fde0a659de04bbf83",
        "b3645328153d313a52b9ef4ca1730d51",
    ];
    assert_eq!(kinds.map(digest), digests);
}
