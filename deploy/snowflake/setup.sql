-- An administrator runs this once for a vault of kind `snowflake`. Claviger itself makes none of it and needs no more.
--
-- Put your names in (BROKER, SECRETS, READERS, CLAVIGER, CLAVIGER_SVC, CLAVIGER_WH, CLAVIGER_EAI) and leave out the part of the
-- storage that you do not use. The settings of the vault name the same things, letter for letter: unquoted names are upper case.
-- Not yet run against a live account.

USE ROLE ACCOUNTADMIN;

-- 1. Claviger's identity: a user for services, with a key and without a password, and a role that nobody else has.
--      openssl genrsa 2048 | openssl pkcs8 -topk8 -v2 aes256 -out claviger.p8
--      openssl rsa -in claviger.p8 -pubout          (its lines without the first and the last, in one)
CREATE ROLE IF NOT EXISTS CLAVIGER;
-- No secondary roles: with them it would have the rights of every role of the user, not of this one alone.
CREATE USER IF NOT EXISTS CLAVIGER_SVC TYPE = SERVICE DEFAULT_ROLE = CLAVIGER DEFAULT_SECONDARY_ROLES = ()
    RSA_PUBLIC_KEY = 'MIIB…';
GRANT ROLE CLAVIGER TO USER CLAVIGER_SVC;

-- 2. Where values are. Not the schema of an application: it is dropped with its secrets when the application is uninstalled.
CREATE DATABASE IF NOT EXISTS BROKER;
CREATE SCHEMA IF NOT EXISTS BROKER.SECRETS;
GRANT USAGE ON DATABASE BROKER TO ROLE CLAVIGER;
GRANT USAGE ON SCHEMA BROKER.SECRETS TO ROLE CLAVIGER;

-- 3. For a sealed table, and for reader procedures: the smallest warehouse, which sleeps when nobody reads.
CREATE WAREHOUSE IF NOT EXISTS CLAVIGER_WH WAREHOUSE_SIZE = XSMALL AUTO_SUSPEND = 60 AUTO_RESUME = TRUE INITIALLY_SUSPENDED = TRUE;
GRANT USAGE ON WAREHOUSE CLAVIGER_WH TO ROLE CLAVIGER;

-- 4. storage = "sealed_table". Snowflake keeps overwritten rows for time travel, so none is kept here: only ciphertext
--    would be, but `DestroySecretVersion` means it. (Fail-safe keeps it for seven days all the same, for Snowflake's support.
--    CREATE TRANSIENT TABLE has none, and then nobody gets the table back after a disaster either.)
--    No keys are declared: Snowflake would not enforce them, and Claviger relies on none.
CREATE TABLE IF NOT EXISTS "BROKER"."SECRETS"."CLAVIGER_SEALED" (
    STORE       VARCHAR(36)   COLLATE '' NOT NULL, -- which Claviger
    SECRET      VARCHAR(255)  COLLATE '' NOT NULL, -- name of the secret
    DEFINITION  VARCHAR(36)   COLLATE '' NOT NULL, -- whose it is
    SEQUENCE    NUMBER(18, 0) NOT NULL, -- order of its versions
    VERSION     VARCHAR(36)   COLLATE '' NOT NULL, -- the write that stored it
    KEY_ID      NUMBER(10, 0),          -- which key of Claviger's opens it; NULL once destroyed
    SEALED      BINARY,                 -- the value, encrypted; NULL once destroyed
    CREATED_MS  NUMBER(18, 0) NOT NULL, -- milliseconds since 1970
    STATE       VARCHAR(9)    COLLATE '' NOT NULL, -- ENABLED, DISABLED, DESTROYED
    IS_NEWEST   BOOLEAN       NOT NULL
);
ALTER TABLE "BROKER"."SECRETS"."CLAVIGER_SEALED" SET DATA_RETENTION_TIME_IN_DAYS = 0;
GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE "BROKER"."SECRETS"."CLAVIGER_SEALED" TO ROLE CLAVIGER;

-- 5. storage = "secret_objects". Claviger owns the secrets it creates. A secret that is there already has to be given to it:
--      GRANT USAGE, READ, MODIFY ON SECRET BROKER.SECRETS."NAME" TO ROLE CLAVIGER;
GRANT CREATE SECRET ON SCHEMA BROKER.SECRETS TO ROLE CLAVIGER;
-- Values are stored as binds, which the query history may show: keep everybody from reading those. Should Snowflake refuse a bind
-- there, the value goes in the text of the statement, which the query history keeps for a year and no parameter hides; the write says so
-- with the warning VALUE_IN_STATEMENT. Anyone with MONITOR on the warehouse, or GOVERNANCE_VIEWER, reads it then: grant neither widely.
ALTER ACCOUNT SET ALLOW_BIND_VALUES_ACCESS = FALSE;
-- The application or role of `grant_to_application` or `grant_to_role`, which uses them inside, has to reach the schema:
--      GRANT USAGE ON DATABASE BROKER TO APPLICATION MATILLION_DATA_PRODUCTIVITY_CLOUD;
--      GRANT USAGE ON SCHEMA BROKER.SECRETS TO APPLICATION MATILLION_DATA_PRODUCTIVITY_CLOUD;

-- 6. reader = "procedure". Anyone who may use a reader procedure can read its secret: nobody but Claviger's role uses this schema.
--    Snowflake lets a procedure use a secret only with an external access integration; this one leads nowhere.
--    With managed access its owner alone grants the procedures in it, not the owner of a procedure.
CREATE SCHEMA IF NOT EXISTS BROKER.READERS WITH MANAGED ACCESS;
GRANT USAGE, CREATE PROCEDURE ON SCHEMA BROKER.READERS TO ROLE CLAVIGER;
CREATE NETWORK RULE IF NOT EXISTS BROKER.READERS.NOWHERE MODE = EGRESS TYPE = HOST_PORT VALUE_LIST = ('nowhere.invalid:443');
CREATE EXTERNAL ACCESS INTEGRATION IF NOT EXISTS CLAVIGER_EAI ALLOWED_NETWORK_RULES = (BROKER.READERS.NOWHERE)
    ALLOWED_AUTHENTICATION_SECRETS = (ALL) ENABLED = TRUE;
GRANT USAGE ON INTEGRATION CLAVIGER_EAI TO ROLE CLAVIGER;
-- Claviger makes the procedure of a secret when it stores a value. For one that it has never written, an administrator does, with
-- the name that the refused read asks for (CLAVIGER_ and a digest of store, schema and secret, so that no two are one), and grants it:
--      CREATE OR REPLACE PROCEDURE BROKER.READERS."CLAVIGER_…"() RETURNS VARCHAR LANGUAGE PYTHON RUNTIME_VERSION = '3.12'
--          PACKAGES = ('snowflake-snowpark-python') HANDLER = 'read' EXTERNAL_ACCESS_INTEGRATIONS = (CLAVIGER_EAI)
--          SECRETS = ('value' = BROKER.SECRETS."NAME") EXECUTE AS OWNER AS $$
--      import _snowflake
--
--      def read(session):
--          return _snowflake.get_generic_secret_string('value')
--      $$;
--      GRANT USAGE ON PROCEDURE BROKER.READERS."CLAVIGER_…"() TO ROLE CLAVIGER;

-- 7. To undo it; values stay. If the key was stolen, first of all ALTER USER CLAVIGER_SVC SET DISABLED = TRUE.
--      REVOKE SELECT, INSERT, UPDATE, DELETE ON TABLE BROKER.SECRETS.CLAVIGER_SEALED FROM ROLE CLAVIGER;
--      REVOKE CREATE SECRET ON SCHEMA BROKER.SECRETS FROM ROLE CLAVIGER;
--      REVOKE USAGE, CREATE PROCEDURE ON SCHEMA BROKER.READERS FROM ROLE CLAVIGER;
--      REVOKE USAGE ON INTEGRATION CLAVIGER_EAI FROM ROLE CLAVIGER;
--      REVOKE USAGE ON WAREHOUSE CLAVIGER_WH FROM ROLE CLAVIGER;
--      REVOKE USAGE ON SCHEMA BROKER.SECRETS FROM ROLE CLAVIGER;
--      REVOKE USAGE ON DATABASE BROKER FROM ROLE CLAVIGER;
--    Claviger owns the secrets it created, and keeps using them. Give each away with its grants, and drop the reader procedures:
--      GRANT OWNERSHIP ON ALL SECRETS IN SCHEMA BROKER.SECRETS TO ROLE ACCOUNTADMIN COPY CURRENT GRANTS;
--      DROP SCHEMA BROKER.READERS;
--    An application that used a secret inside loses it with
--      REVOKE USAGE, READ ON SECRET BROKER.SECRETS."NAME" FROM APPLICATION MATILLION_DATA_PRODUCTIVITY_CLOUD;
