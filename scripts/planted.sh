#!/usr/bin/env bash
# Shows that the tests find the bugs that they are for: builds them with planted bugs (see
# docs/testing.md), runs them without one (they must pass) and with each (they must fail).
set -euo pipefail
cd "$(dirname "$0")/.."

enabled=$(cargo tree --locked -p dhow -e features,no-dev)
if [[ $enabled == *planted-bugs* ]]; then
  echo "the binary has planted bugs" >&2
  exit 1
fi

# Each bug, the suite that finds it, and its tests there.
bugs=(
  "ack-before-commit|acknowledged|no_put_is_acknowledged"
  "keys-uncompared|permits|a_permit_for_one"
  "owners-uncompared|decision|the_decision_is"
  "apply-without-version-check|objects|replicate::"
  "residency-unchecked-at-source|regions|placement::p8"
  "residency-unchecked-at-destination|regions|placement::p8"
  "epoch-unchecked|regions|placement::another_epoch"
  "wall-clock-order|objects|hlc::"
  "wall-clock-order|regions|follow::the_last_write"
  "one-clock-for-all-buckets|objects|hlc::"
  "stamps-unbounded|regions|stamps::"
  "stamps-unbounded|seeds|versions_years"
  "removals-without-an-epoch|regions|forged::"
  "offers-without-an-epoch|regions|forged::p5_no_replica"
  "removals-off-the-record|regions|forged::"
  "cursor-before-apply|regions|follow::what_could_not_be_fetched"
  "page-cache-trusted|store|faulty_disk"
  "index-written-after-fence|store|fenced_engine"
  "positions-given-again|store|faulty_disk"
  "frames-without-secret|store|that_a_client_sends"
  "damage-taken-for-an-end|store|damage_in_a_head"
  "full-disk-fences|store|without_room"
  "changes-end-with-callers|objects|dropped_tests::"
  "arrivals-unpinned|objects|arriving::"
  "discard-unmarked|objects|discard::"
  "parts-unfenced|objects|fence::a_part_that_ends"
  "sweep-reads-all-uploads|objects|rest::"
  "counts-for-anybody|regions|hostile::p8_every"
  "changes-unlimited|cloud|pace"
  "admission-first-come|gateway|admission::"
  "acknowledged-forgotten|own_writes|what_was_written"
  "writes-before-what-came-before|own_writes|a_copy_that_takes_writes_shows_what_is_newest"
  "homes-decide-early|own_writes|a_home_decides_with"
  "configured-later|own_writes|nothing_is_decided"
  "marks-end-with-epochs|gateway|written::tests::positions_of_one_home"
  "lists-among-many|lists|a_write_by_a_list"
  "heads-of-forms-unread|gateway|post_form::tests::s14_what_a_form"
  "features-unchecked|cloud|features_tests::a_placement"
  "features-lost-by-a-word|cloud|features_tests::a_region_loses"
  "keys-for-who-cannot-enforce|cloud|evil_tests::p5_no_region_stops"
  "addresses-unchecked|cloud|rekey_tests::a_region_is_reached"
  "rekey-leaves-certificates|cloud|rekey_tests::a_new_key"
  "revoked-on-disk-first|cloud|withdrawn_tests::"
  "revoked-without-the-reserve|cloud|withdrawn_tests::"
  "admin-any-host|gateway|hosts::"
  "old-copies-change|cloud|standing_tests::a_copy"
  "caught-up-with-a-fork|cloud|catch_up_tests::p7_a_registry_that_went_another_way"
  "old-rows-taken-for-new|cloud|catch_up_tests::p7_accounts"
  "log-for-any-region|cloud|catch_up_tests::p15_the_log"
  "answers-of-any-length|cloud|long_answers_tests::"
  "changes-of-any-length|cloud|long_answers_tests::p11_a_change_that_no_region"
  "keys-of-any-number|cloud|long_answers_tests::p11_an_account_with"
  "answered-before-it-arrived|cloud|arrival_tests::"
  "late-regions-delay-all|cloud|arrival_tests::a_region_that_was_late"
  "heard-of-what-is-not-there|cloud|evil_tests::p5_nobody_has_heard"
  "links-without-the-one-before|proof|of_bucket"
  "relayed-heads-count-twice|access|replays::"
  "replays-never-swept|access|replays::"
  "relayed-heads-count-twice|cloud|warrant_tests::"
  "regions-word-is-proof|cloud|warrant_tests::"
  "v4a-signature-unread|asymmetric|what_is_missing"
  "v4a-signature-unread|asymmetric|neither_kind"
  "hmac-where-v4a-is-required|asymmetric|an_account_may"
  "v2-unsigned-parameters|old|what_is_not_covered"
  "v2-where-not-asked|cloud|old_tests::"
  "v2-secret-for-partners|cloud|old_tests::p5_only"
  "proofs-of-other-operators|access|placement::tests::p5_a_regions_word"
  "keys-for-every-region|cloud|introduce_tests::"
  "changes-before-their-state|cloud|evil_tests::p5_a_change_is_told"
  "changes-without-those-before|cloud|take_tests::p5_a_change_takes"
  "keys-written-at-each-start|cloud|take_tests::a_region_that_starts"
  "users-as-they-were|cloud|users_tests::what_is_attached"
  "uses-of-other-accounts|cloud|users_tests::policies_that_all"
  "tokens-without-end|cloud|clients::tests::each_client"
  "any-key-administers|cloud|roles_tests::every_region_knows"
  "names-outside-the-guard|cloud|evil_tests::p8_a_region_outside"
  "users-outside-the-guard|cloud|evil_tests::p8_no_region"
  "keys-for-the-asking|cloud|introduce_tests::"
  "accepted-names-for-anybody|cloud|warrant_tests::"
  "receipts-for-anything|cloud|reports_tests::"
  "reports-of-strangers|cloud|reports_tests::"
  "pasts-of-anything|cloud|reports_tests::p5_what_a_home"
  "uses-of-strangers|cloud|uses_tests::a_region_reports"
  "chains-read-again|cloud|reports_tests::"
  "newcomers-among-strangers|cloud|introduce_tests::"
  "strangers-share-all|cloud|introduce_tests::"
  "wrong-signatures-unbounded|cloud|introduce_tests::questions_for_keys"
  "hidden-lengths|gateway|head_lines::"
  "fragments-are-dropped|gateway|head_lines::"
  "beside-any-reading|gateway|beside::"
  "small-listener-lines|gateway|small_listener::"
  "resets-uncounted|gateway|http2::marks::"
  "places-for-who-came-first|gateway|shares::tests::a_place_comes"
  "policies-unasked|users|a_user_may"
  "first-tag-counts|access|policy::keys::tests::of_two"
  "session-policies-unasked|users|a_session_policy"
  "guard-unasked-for-root|users|a_guard_policy_bounds_the_account"
  "guard-dropped-on-the-follower|cloud|guard_policies_tests::a_guard_policy_binds"
  "sessions-outlive-their-key|cloud|sessions_tests::a_session_ends"
  "sessions-outlive-their-key|cloud|sessions_tests::a_key_that_is_made_anew"
  "names-for-any-id|cloud|sessions_tests::names_are_told"
  "sessions-never-end|cloud|sessions_tests::no_region_makes"
  "ended-sessions-go-on|cloud|ended_tests::"
  "sessions-outlive-their-provider|cloud|sessions_tests::a_session_by_a_provider"
  "tokens-of-any-algorithm|iam|web::jws::tests::an_algorithm_is_of"
  "signatures-of-tokens-unread|iam|web::jws::tests::a_token_counts_as"
  "tokens-for-anybody|iam|web::assume::tests::a_token_is_for"
  "writes-by-list-unbounded|lists|a_write_by_a_list"
  "owners-of-objects-unasked|lists|lists_and_owners"
  "locations-not-waited-for|users|a_new_bucket_is_permitted"
  "etags-for-writers|users|who_may_only_write"
  "tls-versions-unsaid|users|conditions_ask_about"
  "bodies-not-waited-for|users|what_a_body_says"
  "uploads-of-anybody|users|an_upload_is_open"
  "unsigned-changes-of-deeds|users|who_signs_nothing"
  "homes-as-named|cloud|registry::warrant_tests::p5_a_users_policies"
  "everybody-is-a-proxy|relayed|for_whom_a_proxy"
  "part-checksums-unverified|checksums|what_completes"
  "rules-into-any-bucket|relayed|p5_a_region_acts_on_no_second"
  "answers-hold-no-room|room|p11_unread"
  "reads-go-on-after-removal|regions|readers::"
  "acks-outlive-copies|regions|copies::a_copy_that_was_removed"
  "configuration-of-the-home|objects|replicate::tests::configuration"
  "configuration-of-the-home|regions|configuration::"
  "configuration-of-the-home|seeds|seeds_"
  "rules-of-any-copy|regions|configuration::p5"
  "grants-of-others|regions|configuration::p5_documents"
  "acks-of-another-start|regions|copies::what_another_start"
  "acks-of-another-log|regions|copies::a_position_that"
  "reads-of-another-start|replication|status::"
  "copies-need-nobody|replication|status::"
  "tags-stay-behind|regions|configuration::a_home_that_was_put_back"
  "succession-of-before|regions|promises::who_could"
  "half-a-page-is-forgotten|regions|put_back::"
  "any-start-is-believed|regions|put_back::a_replica_drops_nothing"
  "ends-of-logs-unheard|regions|put_back::a_replica_hands_over_half_a_snapshot"
  "half-a-snapshot-is-forgotten|regions|put_back::a_replica_that_starts_again"
  "made-anew-for-a-former-deed|objects|region_tests::fence::p5_a_write_that_ends"
  "deleted-with-what-others-have|regions|copies::a_bucket_is_not_deleted"
  "deleted-by-a-former-home|cloud|reports_tests::a_bucket_that_got"
  "clones-go-on|proof|instance::starts::tests::of_two_processes"
  "older-folders-pass|proof|instance::starts::tests::a_folder_that_was_put_back"
  "promise-not-waited-out|regions|promises::"
  "peer-epoch-ignored|regions|promises::"
  "acknowledged-unasked|regions|promises::"
  "unrenewed-decides|regions|promises::"
  "lifted-keeps-promise|replication|renewal::"
  "fences-replaced|replication|renewal::"
  "silent-regions-asked|replication|silence::"
  "commits-unasked|regions|promises::"
  "cursors-of-replicas-before|regions|copies::what_was_followed"
  "cursors-of-the-first-replica|regions|copies::what_was_followed"
  "unrenewed-decides|seeds|seeds_"
  "ack-before-commit|seeds|seeds_"
  "residency-unchecked-at-source|seeds|seeds_"
  "cursor-before-apply|seeds|seeds_"
  "accounts-let-all-in|policy|truth::"
  "accounts-let-all-in|policy|random::the_evaluator"
  "sessions-by-name-alone|policy|truth::a_session_is_of_the_role"
  "negated-sets-swapped|policy|operators::sets_are"
  "negated-sets-swapped|policy|random::the_evaluator"
  "steps-for-each-decision|policy|operators::decisions_that_share"
  "inserted-wildcards|policy|operators::variables_bring"
  "unloaded-tags-are-none|policy|operators::tags_that"
  "unloaded-tags-are-none|policy|random::what_is_decided"
  "console-any-host|console|serve::tests::only_the_name"
  "console-any-origin|console|serve::tests::only_a_form"
  "console-policy-preview-ignored|console|editor::tests::only_what_was_shown"
  "console-removal-unseen|console|removal::tests::nothing_goes_but"
  "console-next-anywhere|console|routes::tests::no_way_on"
  "console-challenge-unasked|console|signin::tests::a_challenge_is_taken"
  "console-sessions-of-any-key|console|session::tests::a_session_is_of"
  "console-tokens-unasked|console|session::tests::a_token_is_for"
  "console-proof-unasked|console|session::tests::a_proof_is_old"
  "console-proof-of-any-key|console|session::tests::a_proof_is_of"
  "console-csv-formulas|console|audit_export::tests::no_cell"
  "console-pages-for-all|console|routes::tests::a_page_is_for_whom"
  "console-preview-ignored|console|delete::tests::nothing_is_deleted_but"
  "console-purges-what-came|console|purging::tests::what_came_after"
  "console-shows-anywhere|console|call::tests::only_a_region_that"
  "console-places-unseen|console|place::tests::a_confirmation"
  "console-leads-at-buckets|gateway|console::tests::only_an_unsigned"
  "null-versions-unseen|objects|region_tests::a_null_version"
  "console-homes-unseen|console|moving::tests::a_home_moves_only"
  "console-links-again|console|links::tests::a_link_is"
  "console-zip-any-name|console|zip::tests::a_name_is_below"
  "console-sso-any-return|console|sso::tests::each_provider"
  "console-sso-any-state|console|sso::tests::what_comes_back"
  "console-sso-any-nonce|console|sso::tests::a_token_is_of"
  "console-sso-again|console|sso::tests::what_comes_back"
  "console-led-by-anybody|console|serve::tests::only_an_own_page"
  "console-audit-unread|console|audit_check::tests::a_log_that"
  "requests-after-a-proof|listener|challenges::tests::a_proof_is_shown"
)
# The simulator finds these within so many seeds.
export DHOW_SIM_SEEDS=60

out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
unset DHOW_PLANTED
# The names of the test programs are in what cargo says: "Executable ... (path)".
packages=(store objects replication sim cloud proof access console gateway listener)
features=$(printf '%s/planted-bugs,' "${packages[@]}")
programs=(acknowledged asymmetric checksums decision lists old own_writes permits policy regions relayed
  room seeds users)
# (The version tells our console from the crate of the same name.)
chosen=("${packages[@]/%console/console@0.1.0}" peer iam)
cargo test --locked --no-run "${chosen[@]/#/--package=}" \
  --lib "${programs[@]/#/--test=}" --features "${features%,}" 2>"$out/build" \
  || { cat "$out/build" >&2; exit 1; }
program() { # the path of a suite's program
  sed -nE "s|^ *Executable .*\((.*/deps/$1-[0-9a-f]+)\)$|\1|p" "$out/build" | head -n 1
}

declare -A suites
for bug in "${bugs[@]}"; do
  IFS='|' read -r _ suite filter <<<"$bug"
  suites[$suite]+=" $filter"
done

failed=0
row() { printf '%-36s %-14s %-40s %s\n' "$@"; }
row "bug" "suite" "tests" "outcome"
for suite in "${!suites[@]}"; do
  read -ra filters <<<"${suites[$suite]}"
  exe=$(program "$suite")
  [ -n "$exe" ] || { echo "no test program $suite" >&2; exit 1; }
  if timeout 900 "$exe" "${filters[@]}" >"$out/run" 2>&1 \
    && ! grep -q "running 0 tests" "$out/run"; then
    row "(none)" "$suite" "$(grep -c '\.\.\. ok' "$out/run") tests" "pass"
  else
    row "(none)" "$suite" "" "FAIL"
    cat "$out/run" >&2
    failed=1
  fi
done
# One bug: whether its test finds it.
try() {
  local name suite filter exe
  IFS='|' read -r name suite filter <<<"$1"
  exe=$(program "$suite")
  local run
  run=$(mktemp -p "$out")
  if DHOW_PLANTED="$name" timeout 900 "$exe" "$filter" >"$run" 2>&1; then
    row "$name" "$suite" "$filter" "NOT FOUND"
    return 1
  elif grep -q "^test result: FAILED" "$run"; then
    row "$name" "$suite" "$filter" "found by $(grep -c '\.\.\. FAILED' "$run")"
  else
    row "$name" "$suite" "$filter" "DID NOT END"
    return 1
  fi
}
export -f try program row
export out
# Two at a time: many of these tests wait.
printf '%s\n' "${bugs[@]}" | xargs -d '\n' -P 2 -n 1 bash -c 'try "$1"' _ || failed=1
exit "$failed"
