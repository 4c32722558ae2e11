-- The tables of pg_llm that this export fills. CREATE EXTENSION pg_llm makes them, too; then this changes nothing.
CREATE TABLE IF NOT EXISTS llm_model_config (
    model TEXT PRIMARY KEY,
    n_layer INT NOT NULL CHECK (n_layer > 0),
    n_head INT NOT NULL CHECK (n_head > 0),
    d_model INT NOT NULL CHECK (d_model > 0),
    n_positions INT NOT NULL CHECK (n_positions > 0),
    vocab INT NOT NULL CHECK (vocab > 0),
    CHECK (d_model % n_head = 0)
);
-- data: float32, little-endian. wte and wpe have a row for each token or position, every other weight has one.
CREATE TABLE IF NOT EXISTS llm_param (
    model TEXT,
    name TEXT,
    token_id INT DEFAULT 0,
    data BYTEA,
    grad BYTEA,
    m BYTEA,
    v BYTEA,
    step INT DEFAULT 0,
    PRIMARY KEY (model, name, token_id)
);
-- Blocks of training text; target is one token ahead of tokens.
CREATE UNLOGGED TABLE IF NOT EXISTS llm_dataset (
    id SERIAL PRIMARY KEY,
    tokens INT[],
    target INT[],
    CHECK (cardinality(tokens) = cardinality(target))
);
CREATE TABLE IF NOT EXISTS llm_bpe_vocab (
    model TEXT,
    token_id INT,
    token TEXT,
    score FLOAT4,
    bytes BYTEA,
    PRIMARY KEY (model, token_id)
);
CREATE TABLE IF NOT EXISTS llm_bpe_merges (
    model TEXT,
    rank INT,
    "left" TEXT,
    "right" TEXT,
    pair TEXT,
    PRIMARY KEY (model, rank)
);
