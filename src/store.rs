//! The edge database: its schema, its migrations, and every SQL string of the agent.
