//! Version predicates: `tarantool_version >= 3.0.0 && tarantool_version < 4.0.0`.
//!
//! The language of `conditional[N].if` and of the `fail_if` tag of an application: version
//! literals of three components, variables, comparisons, `&&`, `||` and parentheses.
//!
//! # Yields
//! never

/// Deepest nesting of parentheses.
const DEPTH_MAX: usize = 100;

type Version = [u64; 3];

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Version(String),
    Variable(String),
    Operator(&'static str),
    Open,
    Close,
}

enum Tree {
    Version(Version),
    Operation(&'static str, Box<Tree>, Box<Tree>),
}

/// The truth of a predicate, given the version of each variable.
pub fn evaluate(text: &str, variables: &[(&str, &str)]) -> Result<bool, String> {
    let tokens = tokens(text)?;
    let mut parser = Parser { tokens: &tokens, variables, depth: 0 };
    let tree = parser.expression(0)?;
    if let Some(token) = parser.tokens.first() {
        return Err(format!("Expected end of an expression, got \"{}\"", token.text()));
    }
    match tree {
        Tree::Operation(..) => {
            check(&tree)?;
            Ok(truth(&tree))
        }
        Tree::Version(_) => Err("An expression should be a predicate, got a version".into()),
    }
}

impl Token {
    fn text(&self) -> &str {
        match self {
            Token::Version(text) | Token::Variable(text) => text,
            Token::Operator(text) => text,
            Token::Open => "(",
            Token::Close => ")",
        }
    }
}

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    const OPERATORS: [&str; 8] = ["&&", "||", "<=", ">=", "!=", "==", "<", ">"];
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let word = |extra: fn(char) -> bool| {
            let end = rest.find(|symbol: char| !extra(symbol)).unwrap_or(rest.len());
            rest.split_at(end)
        };
        if first == '(' || first == ')' {
            tokens.push(if first == '(' { Token::Open } else { Token::Close });
            rest = &rest[1..];
        } else if first.is_ascii_alphabetic() || first == '_' {
            let (name, after) = word(|symbol| symbol.is_ascii_alphanumeric() || symbol == '_');
            tokens.push(Token::Variable(name.into()));
            rest = after;
        } else if first.is_ascii_digit() {
            let (literal, after) = word(|symbol| symbol.is_ascii_digit() || symbol == '.');
            tokens.push(Token::Version(literal.into()));
            rest = after;
        } else if let Some(operator) =
            OPERATORS.iter().find(|operator| rest.starts_with(**operator))
        {
            tokens.push(Token::Operator(operator));
            rest = &rest[operator.len()..];
        } else {
            let column = text.len() - rest.len() + 1;
            return Err(format!(
                "Expression parsing error at line 1, column {column}: invalid token"
            ));
        }
        rest = rest.trim_start();
    }
    Ok(tokens)
}

fn version(text: &str, what: &str) -> Result<Version, String> {
    let parts: Vec<&str> = text.split('.').collect();
    let [major, minor, patch] = parts[..] else {
        let count = parts.len();
        return Err(format!("invalid {what}: expected 3 components, got {count}"));
    };
    let number = |part: &str| part.parse::<u64>().map_err(|_| format!("invalid {what}: {text}"));
    Ok([number(major)?, number(minor)?, number(patch)?])
}

/// Binding power of an operator: what stands left of it, what stands right.
fn power(operator: &str) -> (u8, u8) {
    match operator {
        "||" => (1, 2),
        "&&" => (3, 4),
        _ => (5, 6),
    }
}

struct Parser<'a> {
    tokens: &'a [Token],
    variables: &'a [(&'a str, &'a str)],
    depth: usize,
}

impl Parser<'_> {
    fn next(&mut self) -> Option<Token> {
        let (first, rest) = self.tokens.split_first()?;
        self.tokens = rest;
        Some(first.clone())
    }

    /// Reads operators that bind at least as strongly as `least`.
    fn expression(&mut self, least: u8) -> Result<Tree, String> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err("The expression is nested too deeply".into());
        }
        let mut left = self.operand()?;
        while let Some(token) = self.tokens.first() {
            let operator = match token {
                Token::Close => break,
                Token::Operator(operator) => *operator,
                other => return Err(format!("Expected an operation, got \"{}\"", other.text())),
            };
            let (left_power, right_power) = power(operator);
            if left_power < least {
                break;
            }
            self.next();
            let right = self.expression(right_power)?;
            left = Tree::Operation(operator, Box::new(left), Box::new(right));
        }
        self.depth -= 1;
        Ok(left)
    }

    fn operand(&mut self) -> Result<Tree, String> {
        match self.next() {
            None => Err("Unexpected end of an expression".into()),
            Some(Token::Version(literal)) => {
                Ok(Tree::Version(version(&literal, "version literal")?))
            }
            Some(Token::Variable(name)) => {
                match self.variables.iter().find(|(known, _)| *known == name) {
                    Some((_, value)) => Ok(Tree::Version(version(value, "version in a variable")?)),
                    None => Err(format!("Unknown variable: \"{name}\"")),
                }
            }
            Some(Token::Open) => {
                let inside = self.expression(0)?;
                match self.next() {
                    Some(_) => Ok(inside),
                    None => Err("Expected \")\", got end of an expression".into()),
                }
            }
            Some(other) => Err(format!("Unexpected token \"{}\"", other.text())),
        }
    }
}

fn check(tree: &Tree) -> Result<(), String> {
    let Tree::Operation(operator, left, right) = tree else { return Ok(()) };
    let boolean = |side: &Tree| matches!(side, Tree::Operation(..));
    let sides = (boolean(left), boolean(right));
    match (*operator, sides) {
        ("&&" | "||", (true, true)) => {}
        ("&&" | "||", _) => {
            return Err("A logical operator (&& or ||) accepts only boolean expressions as \
                        arguments"
                .into());
        }
        (_, (false, false)) => {}
        _ => {
            return Err(
                "A comparison operator (<, >, <=, >=, !=, ==) requires version literals or \
                        variables as arguments"
                    .into(),
            );
        }
    }
    check(left)?;
    check(right)
}

fn truth(tree: &Tree) -> bool {
    let Tree::Operation(operator, left, right) = tree else { return false };
    if let (Tree::Version(left), Tree::Version(right)) = (&**left, &**right) {
        return match *operator {
            "<" => left < right,
            ">" => left > right,
            "<=" => left <= right,
            ">=" => left >= right,
            "==" => left == right,
            _ => left != right,
        };
    }
    match *operator {
        "&&" => truth(left) && truth(right),
        _ => truth(left) || truth(right),
    }
}

#[cfg(test)]
mod tests {
    use super::evaluate;

    fn truth(text: &str) -> Result<bool, String> {
        evaluate(text, &[("tarantool_version", "3.8.0")])
    }

    #[test]
    fn versions_are_compared_by_component() {
        assert_eq!(truth("tarantool_version >= 3.0.0"), Ok(true));
        assert_eq!(truth("tarantool_version < 3.10.0"), Ok(true));
        assert_eq!(truth("1.2.3 == 1.2.4"), Ok(false));
    }

    #[test]
    fn and_binds_stronger_than_or() {
        assert_eq!(truth("1.0.0 < 2.0.0 || 1.0.0 < 2.0.0 && 2.0.0 < 1.0.0"), Ok(true));
        assert_eq!(truth("(1.0.0 < 2.0.0 || 1.0.0 < 2.0.0) && 2.0.0 < 1.0.0"), Ok(false));
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "1.2.3", "a < 1.0.0", "1.2 < 1.0.0", "(1.0.0 < 2.0.0", "1.0.0 <", "<"] {
            assert!(truth(text).is_err(), "{text}");
        }
        assert!(truth("1.0.0 && 2.0.0").unwrap_err().contains("boolean"));
        assert!(truth("1.0.0 < 2.0.0 < 3.0.0").unwrap_err().contains("comparison"));
        assert!(truth(&"(".repeat(10_000)).is_err());
        assert!(truth("1.0.0 < 2.0.0)").unwrap_err().contains("end of an expression"));
    }
}
