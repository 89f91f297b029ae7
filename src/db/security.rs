//! What is asked of those who log in beyond their password: strength, age, pauses between failed
//! attempts, and whether those who did not log in may do anything.
//!
//! # Invariants
//! - Attempts are counted by name, whether there is such a user or not, so that an answer does not
//!   tell which names exist.
//! - No more names are remembered than `LOGIN_FAILURE_COUNT_MAX`; the one that failed first goes.
//!
//! # Yields
//! never

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::base::error::Result;
use crate::base::limits::LOGIN_FAILURE_COUNT_MAX;
use crate::client_error;

use super::authentication::Method;
use super::user::{GUEST, User};

/// The options of `box.cfg`; the defaults demand nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Policy {
    /// `auth_type`: how passwords are kept from now on.
    pub auth_type: Method,
    /// `auth_delay`
    pub auth_delay: Duration,
    /// `auth_retries`
    pub auth_retries: u64,
    /// `disable_guest`
    pub disable_guest: bool,
    /// `password_lifetime_days`; 0: passwords do not expire.
    pub password_lifetime_days: u64,
    /// `password_min_length`
    pub password_min_length: usize,
    /// `password_enforce_uppercase`
    pub enforce_uppercase: bool,
    /// `password_enforce_lowercase`
    pub enforce_lowercase: bool,
    /// `password_enforce_digits`
    pub enforce_digits: bool,
    /// `password_enforce_specialchars`
    pub enforce_specialchars: bool,
}

/// Failed attempts to log in by one name.
#[derive(Clone, Copy)]
struct Failures {
    first: Instant,
    count: u64,
}

thread_local! {
    static POLICY: Cell<Policy> = Cell::default();
    static FAILURES: RefCell<HashMap<String, Failures>> = RefCell::default();
}

/// What is asked now.
pub fn policy() -> Policy {
    POLICY.get()
}

/// Asks this from now on.
pub fn set_policy(policy: Policy) {
    POLICY.set(policy);
}

/// Whether somebody may try to log in by this name.
pub fn check_attempt(name: &str) -> Result<()> {
    let policy = policy();
    if policy.auth_delay.is_zero() {
        return Ok(());
    }
    FAILURES.with_borrow_mut(|failures| {
        let Some(known) = failures.get(name) else { return Ok(()) };
        if known.first.elapsed() >= policy.auth_delay {
            failures.remove(name);
        } else if known.count > policy.auth_retries {
            return Err(client_error!(ER_AUTH_DELAY));
        }
        Ok(())
    })
}

/// Notes how an attempt to log in by this name ended.
pub fn note_attempt(name: &str, is_right: bool) {
    FAILURES.with_borrow_mut(|failures| {
        if is_right {
            failures.remove(name);
            return;
        }
        if policy().auth_delay.is_zero() {
            return;
        }
        if failures.len() >= LOGIN_FAILURE_COUNT_MAX && !failures.contains_key(name) {
            let oldest = failures.iter().min_by_key(|(_, known)| known.first);
            if let Some(oldest) = oldest.map(|(name, _)| name.clone()) {
                failures.remove(&oldest);
            }
        }
        let fresh = Failures { first: Instant::now(), count: 0 };
        failures.entry(name.to_owned()).or_insert(fresh).count += 1;
    });
}

/// Whether a user who knows the password may log in by it.
pub fn check_age(user: &User) -> Result<()> {
    const DAY: u64 = 24 * 60 * 60;
    let (days, changed) = (policy().password_lifetime_days, user.definition().last_modified);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
    if days > 0 && changed.saturating_add(days.saturating_mul(DAY)) < now {
        return Err(client_error!(ER_PASSWORD_EXPIRED));
    }
    Ok(())
}

/// Whether a client who is this user may ask for anything but to log in.
#[inline]
pub fn check_session(uid: u32) -> Result<()> {
    if uid == GUEST && policy().disable_guest {
        return Err(client_error!(ER_AUTH_REQUIRED));
    }
    Ok(())
}

/// Whether a new password is strong enough.
pub fn check_password(password: &[u8]) -> Result<()> {
    let policy = policy();
    let text = String::from_utf8_lossy(password);
    let has = |is: fn(char) -> bool| text.chars().any(is);
    let weak = |details: &str| Err(client_error!(ER_WEAK_PASSWORD, details));
    let least = policy.password_min_length;
    if text.chars().count() < least {
        return weak(&format!("password length should be at least {least} characters"));
    }
    if policy.enforce_uppercase && !has(|letter| letter.is_ascii_uppercase()) {
        return weak("password should contain uppercase letters");
    }
    if policy.enforce_lowercase && !has(|letter| letter.is_ascii_lowercase()) {
        return weak("password should contain lowercase letters");
    }
    if policy.enforce_digits && !has(|letter| letter.is_ascii_digit()) {
        return weak("password should contain digits");
    }
    if policy.enforce_specialchars && !has(|letter| letter.is_ascii_punctuation()) {
        return weak("password should contain special characters");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weak_passwords_are_refused_with_what_they_lack() {
        assert!(check_password(b"").is_ok());
        set_policy(Policy {
            password_min_length: 4,
            enforce_uppercase: true,
            enforce_lowercase: true,
            enforce_digits: true,
            enforce_specialchars: true,
            ..Policy::default()
        });
        let lacks =
            |password: &str| check_password(password.as_bytes()).unwrap_err().message().to_owned();
        let prefix = "Password doesn't meet security requirements: password ";
        for (password, end) in [
            ("Aa1", "length should be at least 4 characters"),
            ("éàö", "length should be at least 4 characters"),
            ("aa1!", "should contain uppercase letters"),
            ("AA1!", "should contain lowercase letters"),
            ("AAa!", "should contain digits"),
            ("AAa1", "should contain special characters"),
        ] {
            assert_eq!(lacks(password), format!("{prefix}{end}"));
        }
        assert!(check_password(b"Aa1!").is_ok());
        set_policy(Policy::default());
    }

    #[test]
    fn a_name_pauses_after_its_retries_and_is_forgiven_when_it_is_right() {
        let delay = Duration::from_secs(3600);
        set_policy(Policy { auth_delay: delay, auth_retries: 2, ..Policy::default() });
        for _ in 0..3 {
            assert!(check_attempt("a").is_ok());
            note_attempt("a", false);
        }
        let error = check_attempt("a").unwrap_err();
        assert_eq!(error.message(), "Too many authentication attempts");
        assert!(check_attempt("b").is_ok());
        note_attempt("a", true);
        assert!(check_attempt("a").is_ok());
        for number in 0..2 * LOGIN_FAILURE_COUNT_MAX {
            note_attempt(&number.to_string(), false);
        }
        FAILURES.with_borrow(|failures| assert_eq!(failures.len(), LOGIN_FAILURE_COUNT_MAX));
        set_policy(Policy::default());
    }
}
