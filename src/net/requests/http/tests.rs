use super::*;

fn onwards(location: &str) -> Option<String> {
    let base = Url::parse("https://user:secret@a.example:8443/x/y?z").unwrap();
    joined(&base, &HeaderValue::from_str(location).unwrap()).map(String::from)
}

#[test]
fn a_redirect_is_followed_to_http_and_https_and_nowhere_else() {
    assert_eq!(onwards("//b.example/q").as_deref(), Some("https://b.example/q"));
    assert_eq!(onwards("../q").as_deref(), Some("https://user:secret@a.example:8443/q"));
    assert_eq!(onwards("http://[::1]:80/").as_deref(), Some("http://[::1]/"));
    for location in ["ftp://b.example/", "file:///etc/passwd", "https://", "javascript:1"] {
        assert_eq!(onwards(location), None, "{location}");
    }
}

#[test]
fn a_redirect_keeps_the_method_or_turns_it_into_get() {
    let after = |status, method| method_after(StatusCode::from_u16(status).unwrap(), method);
    assert_eq!(after(303, Method::PUT), Method::GET);
    assert_eq!(after(303, Method::HEAD), Method::HEAD);
    assert_eq!(after(302, Method::POST), Method::GET);
    assert_eq!(after(308, Method::POST), Method::POST);
}

#[test]
fn a_password_in_the_url_goes_into_the_header_and_not_into_the_host() {
    let url = Url::parse("http://me:p%40s+s@a.example:8080/x?y=1#z").unwrap();
    let hop = Hop { url, address: [127, 0, 0, 1].into(), method: Method::GET };
    assert_eq!(authority(&hop.url).unwrap(), "a.example:8080");
    assert_eq!(origin_form(&hop.url).unwrap().to_string(), "/x?y=1");
    let request = request(&hop, origin_form(&hop.url).unwrap()).unwrap();
    assert_eq!(request.headers()[header::AUTHORIZATION], "Basic bWU6cEBzK3M=");
    assert_eq!(host_of(&Url::parse("http://[::1]:80/").unwrap()).as_deref(), Some("::1"));
}
