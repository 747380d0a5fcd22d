<?php

declare(strict_types=1);

namespace Nivisco\Payments\Result;

/** The card that a charge would use. Generated: do not edit. */
final class GetUserPrimaryCardCard
{
    /** The gateway that keeps the card. */
    public string $gateway;
    /** The card's network in lower case, for example `visa`. */
    public string $brand;
    /** The last four digits of the card number. */
    public string $last4;
    /** The month that the card expires in, 1 to 12. */
    public int $exp_month;
    /** The year that the card expires in, four digits. */
    public int $exp_year;
    /** The id of the saved card. */
    public string $card_id;
    /** Whether a charge through this gateway uses this card. */
    public bool $primary;
    /** The environment that the card belongs to. */
    public string $env;

    /**
     * @internal
     *
     * @param array<string, mixed> $answer
     */
    public static function read(array $answer): self
    {
        $result = new self();
        $result->gateway = $answer['gateway'];
        $result->brand = $answer['brand'];
        $result->last4 = $answer['last4'];
        $result->exp_month = (int) $answer['exp_month'];
        $result->exp_year = (int) $answer['exp_year'];
        $result->card_id = $answer['card_id'];
        $result->primary = $answer['primary'];
        $result->env = $answer['env'];

        return $result;
    }
}
