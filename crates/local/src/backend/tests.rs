//! How requests are prepared.

use futures::future::join;
use inference::{Constraint, Form, Input};
use tokio::time::sleep;

use super::*;
use crate::babbler::babbling;

#[tokio::test(start_paused = true)]
async fn the_wait_for_others_who_compile_is_no_fault_of_a_form() {
    let backend = babbling();
    let every = u32::try_from(backend.shared.compiling.available_permits()).expect("a few");
    let others = Arc::clone(&backend.shared.compiling).acquire_many_owned(every).await.expect("nobody closes it");
    let form = Form::Choice(vec!["yes".into(), "no".into()]);
    let constraint = Some(Constraint { form, parameter: "guided_choice".into() });
    let request = Request { constraint, ..Request::new(Input::Text("Well?".into())) };
    let compile_for_long = async move {
        sleep(COMPILE_TIME * 6).await;
        drop(others);
    };
    let (prepared, ()) = join(Backend::prepare(&backend, request), compile_for_long).await;
    assert!(prepared.is_ok(), "{:?}", prepared.err());
}

#[tokio::test]
async fn what_does_not_fit_is_told_of_the_parameter_that_holds_it() {
    let backend = babbling();
    for (input, parameter) in [
        (Input::Text("word ".repeat(600)), "prompt"),
        (Input::Text("word ".repeat(600)), "input"),
        (Input::Text("word ".repeat(50_000)), "input"),
        (Input::Tokens(vec![5; 600]), "prompt"),
    ] {
        let request = Request { parameter, ..Request::new(input) };
        let refused = Backend::prepare(&backend, request).await.err();
        let named =
            matches!(&refused, Some(Error::ContextLengthExceeded { parameter: named, .. }) if *named == parameter);
        assert!(named, "{refused:?}");
    }
}
