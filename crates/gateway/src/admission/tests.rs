use super::*;

fn admission(work: usize, requests_max: usize, wait_s: u64) -> Admission {
    // The width stays as it is: nothing may be more than the least.
    let config = GatewayConfig {
        work,
        requests_max,
        queue_wait: Duration::from_secs(wait_s),
        ..GatewayConfig::default()
    };
    Admission::new(&config, &Gauge::default())
}

fn payer(admission: &Admission, name: &str) -> Payer {
    let payer = admission.payer(&AccountId::new(name));
    assert_eq!(payer, admission.payer(&AccountId::new(name)));
    payer
}

async fn waits<F: Future>(future: &mut Pin<Box<F>>) -> bool {
    std::future::poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx).is_pending())).await
}

#[tokio::test(start_paused = true)]
async fn who_waits_gets_the_place_that_is_given_back() {
    let admission = admission(1, 1, 5);
    let (a, b) = (payer(&admission, "a"), payer(&admission, "b"));
    let first = admission.work(a).await.unwrap();
    let mut of_a = Box::pin(admission.work(a));
    let mut of_b = Box::pin(admission.work(b));
    assert!(waits(&mut of_a).await);
    assert!(waits(&mut of_b).await);
    drop(first);
    // Both have none now, and the one of `b` has had none yet.
    let second = of_b.await.unwrap();
    assert!(waits(&mut of_a).await);
    drop(second);
    assert!(of_a.await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn who_waits_too_long_is_refused() {
    let admission = admission(1, 1, 5);
    let a = payer(&admission, "a");
    let _held = admission.large(a).await.unwrap();
    let begun = tokio::time::Instant::now();
    assert_eq!(admission.large(a).await.err(), Some(Crowded));
    let waited = begun.elapsed().as_millis();
    assert!((4900..=5100).contains(&waited), "{waited}");
}

#[tokio::test(start_paused = true)]
async fn who_goes_away_while_it_waits_takes_nothing() {
    let admission = admission(1, 1, 5);
    let a = payer(&admission, "a");
    let held = admission.work(a).await.unwrap();
    let mut told = Box::pin(admission.work(a));
    let mut untold = Box::pin(admission.work(a));
    assert!(waits(&mut told).await);
    assert!(waits(&mut untold).await);
    drop(untold);
    // The place is given to one that goes away before it looks.
    drop(held);
    drop(told);
    assert!(admission.work(a).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_place_that_is_not_used_is_lent_to_others() {
    let admission = admission(1, 1, 5);
    let (a, b) = (payer(&admission, "a"), payer(&admission, "b"));
    let first = admission.work(a).await.unwrap();
    let turn = admission.turn(&first);
    turn.step_out();
    let second = admission.work(b).await.unwrap();
    let mut again = Box::pin(turn.step_in());
    assert!(waits(&mut again).await);
    drop(second);
    again.await.unwrap();
    let mut third = Box::pin(admission.work(b));
    assert!(waits(&mut third).await);
    drop(first);
    assert!(third.await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn what_does_not_end_does_not_keep_others_from_working() {
    let admission = admission(2, 2, 5);
    let (a, b) = (payer(&admission, "a"), payer(&admission, "b"));
    let _held = (admission.work(a).await, admission.work(a).await);
    let begun = tokio::time::Instant::now();
    assert!(admission.work(b).await.is_ok());
    assert!(begun.elapsed() < Duration::from_millis(500));
}
