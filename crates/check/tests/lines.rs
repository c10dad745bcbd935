//! The JSON lines form, as a test in another language writes it.

use check::{Kind, LINE_BYTES_MAX, Outcome, Value, read};

fn refused(text: &str) -> String {
    match read(text.as_bytes()) {
        Ok(operations) => panic!("read {operations:?}"),
        Err(error) => error.to_string(),
    }
}

const GOOD: &str = concat!(
    r#"{"client":1,"key":"a","call_ns":1,"return_ns":2,"kind":"put","value":"e1","outcome":"ok"}"#,
    "\n\n",
    r#"{"client":1,"key":"a","call_ns":3,"return_ns":4,"kind":"get","found":7,"outcome":"ok"}"#,
    "\r\n",
    r#"{"client":1,"key":"a","call_ns":5,"return_ns":6,"kind":"get","found":null,"outcome":"ok"}"#,
    "\n",
    r#"{"client":1,"key":"a","call_ns":7,"return_ns":null,"kind":"delete","outcome":"unknown"}"#,
    "\n",
    r#"{"client":1,"key":"a","call_ns":8,"kind":"get","found":null,"outcome":"unknown"}"#,
    "\n",
    r#"{"client":2,"key":"a","call_ns":9,"return_ns":10,"kind":"put_if_match","expected":"e1","#,
    r#""value":"e2","outcome":"precondition_failed"}"#,
);

#[test]
fn every_form_is_read() {
    let history = read(GOOD.as_bytes()).unwrap();
    assert_eq!(history.len(), 6);
    assert_eq!(
        history[0].kind,
        Kind::Put {
            value: Value::new("e1")
        }
    );
    assert_eq!(
        history[1].kind,
        Kind::Get {
            found: Some(Value::from(7))
        }
    );
    assert_eq!(history[2].kind, Kind::Get { found: None });
    assert_eq!(history[3].return_ns, None);
    assert_eq!(history[5].outcome, Outcome::PreconditionFailed);
}

#[test]
fn what_is_wrong_is_named_with_its_line() {
    let cases = [
        (r#""kind":"put","outcome":"ok""#, "a put needs `value`"),
        (
            r#""kind":"put_if_match","value":1,"outcome":"ok""#,
            "a put_if_match needs `expected`",
        ),
        (r#""kind":"get","outcome":"ok""#, "a get needs `found`"),
        (
            r#""kind":"delete","value":1,"outcome":"ok""#,
            "a delete has no `value`",
        ),
        (
            r#""kind":"put","value":1,"expected":1,"outcome":"ok""#,
            "a put has no `expected`",
        ),
        (
            r#""kind":"delete","found":null,"outcome":"ok""#,
            "a delete has no `found`",
        ),
        (
            r#""kind":"get","found":1,"outcome":"unknown""#,
            "a get has no `found`",
        ),
        (
            r#""kind":"delete","outcome":"precondition_failed""#,
            "a delete has no condition that could fail",
        ),
        (r#""kind":"copy","outcome":"ok""#, "unknown variant `copy`"),
        (
            r#""kind":"delete","outcome":"fine""#,
            "unknown variant `fine`",
        ),
        (
            r#""kind":"delete","outcome":"ok","etag":1"#,
            "unknown field `etag`",
        ),
        (
            r#""kind":"put","value":-1,"outcome":"ok""#,
            "a text or a whole number",
        ),
        (r#""kind":"delete""#, "missing field `outcome`"),
    ];
    let first = GOOD.lines().next().unwrap();
    for (members, wanted) in cases {
        let head = r#""client":1,"key":"a","call_ns":1,"return_ns":2"#;
        let error = refused(&format!("{first}\n\n{{{head},{members}}}\n"));
        assert!(error.starts_with("line 3, column "), "{error}");
        assert!(!error.contains("line 1"), "{error}");
        assert!(error.contains(wanted), "{error}, not {wanted}");
    }
}

#[test]
fn times_must_fit_the_outcome() {
    let head = r#""client":1,"key":"a","kind":"delete","outcome":"ok""#;
    let error = refused(&format!(r#"{{{head},"call_ns":5,"return_ns":4}}"#));
    assert!(error.contains("return_ns 4 is before call_ns 5"), "{error}");
    let error = refused(&format!(r#"{{{head},"call_ns":5}}"#));
    assert!(error.contains("outcome Ok needs return_ns"), "{error}");
}

#[test]
fn lines_have_a_limit() {
    let line = GOOD.lines().next().unwrap();
    let padded = format!("{line:<width$}\n", width = LINE_BYTES_MAX - 1);
    assert_eq!(read(padded.as_bytes()).unwrap().len(), 1);
    let error = refused(&format!("{line}\n {padded}"));
    assert_eq!(error, format!("line 2: longer than {LINE_BYTES_MAX} bytes"));
    assert!(refused("{\n").starts_with("line 1, column 1: "));
    assert!(read(&b"\xff\n"[..]).is_err());
}
